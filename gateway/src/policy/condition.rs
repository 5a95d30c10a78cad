//! What must hold for a rule to allow something.
//!
//! What can be told at once is; for the rest there is a [`Question`], which the
//! session asks Redis or the backend.

use std::time::Duration;

use serde_json::Value;

use crate::config;

use super::arguments::fill;
use super::path::{Context, Path, as_text};
use super::template::{RenderError, Template, TemplateError};

/// See [`config::Condition`].
#[derive(Debug)]
pub(super) enum Condition {
    Contains { claim: Path, value: Template },
    Equals { claim: Path, value: Value },
    InSet { key: Template, member: Template },
    Upstream { cache: Duration },
    InRoom,
}

/// What has to be asked before it is known whether a rule allows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Whether a set in Redis has this member.
    InSet { key: String, member: String },
    /// Whether the backend allows it.
    Upstream { cache: Duration },
    /// Whether the socket is in the rule's room.
    InRoom,
}

/// What a condition comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    No,
    /// When all of these are answered with yes.
    If(Vec<Question>),
}

impl Verdict {
    pub(super) const YES: Self = Verdict::If(Vec::new());
}

impl Condition {
    pub(super) fn compile(condition: &config::Condition) -> Result<Self, TemplateError> {
        Ok(match condition {
            config::Condition::ClaimContains { claim, value } => {
                Condition::Contains { claim: Path::of_claim(claim)?, value: Template::parse(value)? }
            }
            config::Condition::ClaimEquals { claim, value } => {
                if let Value::String(text) = value
                    && !text.is_empty()
                {
                    Template::parse(text)?;
                }
                Condition::Equals { claim: Path::of_claim(claim)?, value: value.clone() }
            }
            config::Condition::InSet { key, member } => {
                Condition::InSet { key: Template::parse(key)?, member: Template::parse(member)? }
            }
            config::Condition::Upstream { cache } => Condition::Upstream { cache: *cache },
            config::Condition::InRoom => Condition::InRoom,
        })
    }

    /// Whether it holds, as far as can be told here.
    fn judge(&self, context: &Context<'_>) -> Result<Verdict, RenderError> {
        let holds = match self {
            Condition::Contains { claim, value } => {
                let value = value.render(context)?;
                claim.resolve(context).is_some_and(|claim| contains(&claim, &value))
            }
            Condition::Equals { claim, value } => {
                let wanted = fill(value, context);
                claim.resolve(context).is_some_and(|claim| equals(&claim, &wanted))
            }
            Condition::InSet { key, member } => {
                let question = Question::InSet { key: key.render(context)?, member: member.render(context)? };
                return Ok(Verdict::If(vec![question]));
            }
            Condition::Upstream { cache } => return Ok(Verdict::If(vec![Question::Upstream { cache: *cache }])),
            Condition::InRoom => return Ok(Verdict::If(vec![Question::InRoom])),
        };
        Ok(if holds { Verdict::YES } else { Verdict::No })
    }

    pub(super) fn uses_auth(&self) -> bool {
        self.templates().any(Template::uses_auth)
    }

    /// The arguments of events that it takes.
    pub(super) fn args(&self) -> Vec<Vec<String>> {
        let mut args: Vec<_> = self.templates().flat_map(|template| template.args().map(<[_]>::to_vec)).collect();
        if let Condition::Equals { value: Value::String(text), .. } = self {
            let template = Template::parse(text);
            args.extend(template.iter().flat_map(|template| template.args().map(<[_]>::to_vec)));
        }
        args
    }

    fn templates(&self) -> impl Iterator<Item = &Template> {
        match self {
            Condition::Contains { value, .. } => [Some(value), None],
            Condition::InSet { key, member } => [Some(key), Some(member)],
            Condition::Equals { .. } | Condition::Upstream { .. } | Condition::InRoom => [None, None],
        }
        .into_iter()
        .flatten()
    }
}

/// Whether all hold, as far as can be told here.
pub(super) fn judge(conditions: &[Condition], context: &Context<'_>) -> Result<Verdict, RenderError> {
    let mut questions = Vec::new();
    for condition in conditions {
        match condition.judge(context)? {
            Verdict::No => return Ok(Verdict::No),
            Verdict::If(more) => questions.extend(more),
        }
    }
    Ok(Verdict::If(questions))
}

/// A list by an element, an object by a key, a text by a word (as scopes are
/// written).
fn contains(claim: &Value, wanted: &str) -> bool {
    match claim {
        Value::Array(items) => items.iter().filter_map(as_text).any(|item| item == wanted),
        Value::Object(map) => map.contains_key(wanted),
        Value::String(text) => text.split_ascii_whitespace().any(|word| word == wanted),
        Value::Number(number) => number.to_string() == wanted,
        Value::Null | Value::Bool(_) => false,
    }
}

/// Numbers and texts that are written alike are equal: what is found in a
/// room's name is text.
fn equals(claim: &Value, wanted: &Value) -> bool {
    match (as_text(claim), as_text(wanted)) {
        (Some(claim), Some(wanted)) => claim == wanted,
        (None, None) => claim == wanted && !claim.is_null(),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::path::Args;
    use serde_json::json;

    #[test]
    fn claims_are_judged() {
        let claims = json!({
            "sessions": ["a", 7], "scope": "read write", "role": "admin", "rooms": {"x": 1}, "n": 5, "on": true, "no": null
        });
        let args = [r#""a""#.to_owned(), "7".to_owned(), r#""""#.to_owned()];
        let context = Context { claims: claims.as_object(), args: Args::Json(&args), ..Context::EMPTY };
        let contains = |claim: &str, value: &str| config::Condition::ClaimContains {
            claim: claim.to_owned(),
            value: value.to_owned(),
        };
        let equals = |claim: &str, value: Value| config::Condition::ClaimEquals { claim: claim.to_owned(), value };
        for (condition, holds) in [
            (contains("sessions", "{args.0}"), true),
            (contains("sessions", "{args.1}"), true),
            (contains("sessions", "b"), false),
            (contains("scope", "write"), true),
            (contains("scope", "rea"), false),
            (contains("rooms", "x"), true),
            (contains("rooms", "y"), false),
            (contains("n", "5"), true),
            (contains("absent", "x"), false),
            (contains("on", "true"), false),
            (equals("role", json!("admin")), true),
            (equals("role", json!("adm")), false),
            (equals("n", json!("5")), true),
            (equals("on", json!(true)), true),
            (equals("on", json!("true")), false),
            (equals("no", json!(null)), false),
            (equals("absent", json!(null)), false),
            (equals("rooms", json!({"x": 1})), true),
            (equals("sessions.0", json!("{args.0}")), true),
        ] {
            let verdict = judge(&[Condition::compile(&condition).unwrap()], &context);
            assert_eq!(verdict, Ok(if holds { Verdict::YES } else { Verdict::No }), "{condition:?}");
        }
        let empty = Condition::compile(&contains("sessions", "{args.2}")).unwrap();
        assert_eq!(judge(&[empty], &context), Err(RenderError::EmptyValue("args.2".to_owned())));
    }

    #[test]
    fn what_cannot_be_told_here_is_a_question() {
        let set = config::Condition::InSet { key: "s:{args.0}:members".to_owned(), member: "{user}".to_owned() };
        let asked = config::Condition::Upstream { cache: Duration::from_secs(5) };
        let conditions = [&set, &asked].map(|condition| Condition::compile(condition).unwrap());
        let args = [r#""a""#.to_owned()];
        let context = Context { user: Some("ann"), args: Args::Json(&args), ..Context::EMPTY };
        let questions = vec![
            Question::InSet { key: "s:a:members".to_owned(), member: "ann".to_owned() },
            Question::Upstream { cache: Duration::from_secs(5) },
        ];
        assert_eq!(judge(&conditions, &context), Ok(Verdict::If(questions)));
        let hostile = [r#""a:members""#.to_owned()];
        let context = context.with_args(Args::Json(&hostile));
        assert!(matches!(judge(&conditions, &context), Err(RenderError::Separator { separator: ':', .. })));
    }
}
