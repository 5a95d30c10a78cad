//! Text with placeholders: `{auth.user}`, `{query.room}`, `{args.0}`.

use serde_json::Value;

use crate::message::{BadRoomName, Room};

/// A parsed text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Path),
}

/// Where a placeholder's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Path {
    source: Source,
    steps: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The payload of CONNECT; `{}` if none.
    Auth,
    /// The query of the handshake.
    Query,
    /// The arguments of the event.
    Args,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{{` without `}}`")]
    Unclosed,
    #[error("`}}` without `{{`")]
    Unopened,
    #[error("unknown placeholder `{{{0}}}`: it starts with auth, query or args")]
    UnknownSource(String),
    #[error("`{{{0}}}` needs a name after the dot")]
    EmptyStep(String),
    #[error("`{{{0}}}` needs a number: args.0 is the first argument")]
    NotAnIndex(String),
    #[error("the template is empty")]
    Empty,
}

/// Why a template has no value for this client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("`{0}` is missing, or is not text or a number")]
    Missing(String),
    #[error(transparent)]
    BadRoom(#[from] BadRoomName),
}

/// What placeholders are replaced from.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// A JSON object.
    pub auth: &'a Value,
    /// Percent-encoded, without `?`.
    pub query: &'a str,
    /// JSON texts.
    pub args: &'a [String],
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            if rest.as_bytes()[open] == b'}' {
                return Err(TemplateError::Unopened);
            }
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let close = rest[open..].find('}').ok_or(TemplateError::Unclosed)? + open;
            parts.push(Part::Value(Path::parse(&rest[open + 1..close])?));
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.is_empty() {
            return Err(TemplateError::Empty);
        }
        Ok(Template { parts })
    }

    /// The text; each placeholder must be a string or a number.
    pub fn render(&self, context: &Context<'_>) -> Result<String, RenderError> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(path) => match path.resolve(context) {
                    Some(Value::String(text)) => out.push_str(&text),
                    Some(Value::Number(number)) => out.push_str(&number.to_string()),
                    _ => return Err(RenderError::Missing(path.to_string())),
                },
            }
        }
        Ok(out)
    }

    /// Whether the text is one placeholder and nothing else.
    fn as_value(&self) -> Option<&Path> {
        match self.parts.as_slice() {
            [Part::Value(path)] => Some(path),
            _ => None,
        }
    }

    fn uses_auth(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Value(path) if path.source == Source::Auth))
    }
}

impl Path {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut steps = text.split('.');
        let source = match steps.next() {
            Some("auth") => Source::Auth,
            Some("query") => Source::Query,
            Some("args") => Source::Args,
            _ => return Err(TemplateError::UnknownSource(text.to_owned())),
        };
        let steps: Vec<String> = steps.map(str::to_owned).collect();
        if steps.iter().any(String::is_empty) {
            return Err(TemplateError::EmptyStep(text.to_owned()));
        }
        let fits = match source {
            Source::Auth => true,
            Source::Query => steps.len() == 1,
            Source::Args => steps.first().is_some_and(|step| step.parse::<usize>().is_ok()),
        };
        match (fits, source) {
            (true, _) => Ok(Path { source, steps }),
            (false, Source::Args) => Err(TemplateError::NotAnIndex(text.to_owned())),
            (false, _) => Err(TemplateError::EmptyStep(text.to_owned())),
        }
    }

    fn resolve(&self, context: &Context<'_>) -> Option<Value> {
        match self.source {
            Source::Auth => descend(context.auth, &self.steps).cloned(),
            Source::Query => form_urlencoded::parse(context.query.as_bytes())
                .find(|(name, _)| *name == *self.steps[0])
                .map(|(_, value)| Value::String(value.into_owned())),
            Source::Args => {
                let json = context.args.get(self.steps[0].parse::<usize>().ok()?)?;
                let value: Value = serde_json::from_str(json).ok()?;
                descend(&value, &self.steps[1..]).cloned()
            }
        }
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.source {
            Source::Auth => "auth",
            Source::Query => "query",
            Source::Args => "args",
        })?;
        self.steps.iter().try_for_each(|step| write!(f, ".{step}"))
    }
}

fn descend<'a>(value: &'a Value, steps: &[String]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        Value::Object(map) => map.get(step),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// The name of a room; its kind is fixed by the static text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomTemplate {
    /// The static text began with `user:`, which the template is without.
    user: bool,
    name: Template,
}

impl RoomTemplate {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        match text.strip_prefix("user:") {
            Some(rest) => Ok(RoomTemplate { user: true, name: Template::parse(rest)? }),
            None => Ok(RoomTemplate { user: false, name: Template::parse(text)? }),
        }
    }

    pub fn render(&self, context: &Context<'_>) -> Result<Room, RenderError> {
        let name = self.name.render(context)?;
        Ok(if self.user { Room::user(&name)? } else { Room::named(&name)? })
    }

    pub(super) fn uses_auth(&self) -> bool {
        self.name.uses_auth()
    }
}

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

fn fill(value: &Value, context: &Context<'_>) -> Value {
    match value {
        Value::String(text) => match Template::parse(text) {
            Ok(template) => match template.as_value() {
                Some(path) => path.resolve(context).unwrap_or_default(),
                None => template.render(context).map_or(Value::Null, Value::String),
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

    fn render(template: &str) -> Result<Room, RenderError> {
        let auth = json!({"user": "ann", "team": {"id": 7}, "empty": "", "list": ["x"], "flag": true});
        let args = [r#""room-1""#.to_owned(), r#"{"a":"b"}"#.to_owned(), "user:7".to_owned()];
        let context = Context { auth: &auth, query: "room=a%20b&x=", args: &args };
        RoomTemplate::parse(template).unwrap().render(&context)
    }

    #[test]
    fn rooms_are_rendered() {
        for (template, expected) in [
            ("news", Room::named("news")),
            ("user:{auth.user}", Room::user("ann")),
            ("team:{auth.team.id}:all", Room::named("team:7:all")),
            ("{auth.list.0}", Room::named("x")),
            ("room:{query.room}", Room::named("room:a b")),
            ("{args.0}", Room::named("room-1")),
            ("{args.1.a}", Room::named("b")),
        ] {
            assert_eq!(render(template), Ok(expected.unwrap()), "{template}");
        }
    }

    #[test]
    fn what_has_no_value_is_an_error() {
        for template in ["{auth.nobody}", "{auth.flag}", "{auth.team}", "{auth}", "{query.y}", "{args.2}", "{args.9}"] {
            assert!(matches!(render(template), Err(RenderError::Missing(_))), "{template}");
        }
        assert_eq!(render("{auth.empty}"), Err(RenderError::BadRoom(BadRoomName::Empty)));
        assert_eq!(render("{query.x}"), Err(RenderError::BadRoom(BadRoomName::Empty)));
    }

    #[test]
    fn a_value_never_makes_a_user_room() {
        let args = [r#""user:7""#.to_owned()];
        let context = Context { auth: &Value::Null, query: "", args: &args };
        let room = RoomTemplate::parse("{args.0}").unwrap().render(&context);
        assert_eq!(room, Ok(Room::named("user:7").unwrap()));
    }

    #[test]
    fn bad_templates_are_refused() {
        for (text, expected) in [
            ("", TemplateError::Empty),
            ("a{auth.x", TemplateError::Unclosed),
            ("a}b", TemplateError::Unopened),
            ("{env.x}", TemplateError::UnknownSource("env.x".into())),
            ("{auth.}", TemplateError::EmptyStep("auth.".into())),
            ("{args}", TemplateError::NotAnIndex("args".into())),
            ("{args.x}", TemplateError::NotAnIndex("args.x".into())),
            ("{query}", TemplateError::EmptyStep("query".into())),
        ] {
            assert_eq!(Template::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn arguments_take_values_whole() {
        let args = ArgsTemplate::parse(&[json!("{auth}"), json!({"who": "I am {auth.user}"}), json!(1)]).unwrap();
        let auth = json!({"user": "ann"});
        let context = Context { auth: &auth, query: "", args: &[] };
        assert_eq!(args.render(&context), vec![json!({"user": "ann"}), json!({"who": "I am ann"}), json!(1)]);
    }
}
