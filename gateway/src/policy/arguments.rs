//! Arguments of an event that the configuration writes.

use serde_json::Value;

use super::path::Context;
use super::template::{Template, TemplateError};

/// Arguments of an event, in which strings are templates.
#[derive(Debug, Clone, PartialEq)]
pub struct ArgsTemplate(Vec<Value>);

impl ArgsTemplate {
    pub fn parse(args: &[Value]) -> Result<Self, TemplateError> {
        args.iter().try_for_each(check)?;
        Ok(ArgsTemplate(args.to_vec()))
    }

    /// A string that is exactly one placeholder becomes the value, null if
    /// there is none; in others placeholders are replaced by text.
    pub fn render(&self, context: &Context<'_>) -> Vec<Value> {
        self.0.iter().map(|arg| fill(arg, context)).collect()
    }
}

fn check(value: &Value) -> Result<(), TemplateError> {
    match value {
        Value::String(text) if text.is_empty() => Ok(()),
        Value::String(text) => Template::parse(text).map(|_| ()),
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(map) => map.values().try_for_each(check),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// A JSON value in which strings are templates.
pub(super) fn fill(value: &Value, context: &Context<'_>) -> Value {
    match value {
        Value::String(text) => match Template::parse(text) {
            Ok(template) => match template.as_value() {
                Some(path) => path.resolve(context).map_or(Value::Null, std::borrow::Cow::into_owned),
                None => template.fill(context).map_or(Value::Null, Value::String),
            },
            Err(_) => value.clone(),
        },
        Value::Array(items) => items.iter().map(|item| fill(item, context)).collect(),
        Value::Object(map) => map.iter().map(|(key, item)| (key.clone(), fill(item, context))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_take_values_whole() {
        let args = ArgsTemplate::parse(&[json!("{auth}"), json!({"who": "I am: {auth.user}"}), json!(1)]).unwrap();
        let auth = json!({"user": "ann: the first"});
        let context = Context { auth: &auth, ..Context::EMPTY };
        let expected = vec![json!({"user": "ann: the first"}), json!({"who": "I am: ann: the first"}), json!(1)];
        assert_eq!(args.render(&context), expected);
    }
}
