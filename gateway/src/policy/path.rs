//! Placeholders: where a value comes from.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use super::template::TemplateError;

/// Where a placeholder's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) source: Source,
    pub(super) steps: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The payload of CONNECT; `{}` if none.
    Auth,
    /// What was authenticated.
    Claims,
    /// The user's id.
    User,
    /// The query of the handshake.
    Query,
    /// Named segments of the handshake's path.
    Path,
    /// The arguments of the event.
    Args,
}

/// What placeholders are replaced from.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// A JSON object.
    pub auth: &'a Value,
    pub claims: Option<&'a Map<String, Value>>,
    pub user: Option<&'a str>,
    /// Percent-encoded, without `?`.
    pub query: &'a str,
    /// The segments that `public.path` names.
    pub path: &'a [(Box<str>, Box<str>)],
    pub args: Args<'a>,
}

impl Context<'static> {
    /// Of nobody, without anything.
    pub const EMPTY: Self =
        Context { auth: &Value::Null, claims: None, user: None, query: "", path: &[], args: Args::Json(&[]) };
}

impl<'a> Context<'a> {
    /// The same client with these arguments.
    #[must_use]
    pub fn with_args(self, args: Args<'a>) -> Self {
        Context { args, ..self }
    }
}

/// The arguments of an event.
#[derive(Debug, Clone, Copy)]
pub enum Args<'a> {
    /// JSON texts.
    Json(&'a [String]),
    /// Those that a room's name was made with, as they were found in it.
    Found(&'a [Found]),
}

/// An argument that stands in a room's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub(super) steps: Vec<String>,
    pub(super) text: String,
}

impl Path {
    /// What stands between the braces.
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut steps = text.split('.');
        let source = match steps.next() {
            Some("auth") => Source::Auth,
            Some("claims") => Source::Claims,
            Some("user") => Source::User,
            Some("query") => Source::Query,
            Some("path") => Source::Path,
            Some("args") => Source::Args,
            _ => return Err(TemplateError::UnknownSource(text.to_owned())),
        };
        let steps: Vec<String> = steps.map(str::to_owned).collect();
        if steps.iter().any(String::is_empty) {
            return Err(TemplateError::EmptyStep(text.to_owned()));
        }
        let fits = match source {
            Source::Auth | Source::Claims => true,
            Source::User => steps.is_empty(),
            Source::Query | Source::Path => steps.len() == 1,
            Source::Args => steps.first().is_some_and(|step| step.parse::<usize>().is_ok()),
        };
        match (fits, source) {
            (true, _) => Ok(Path { source, steps }),
            (false, Source::Args) => Err(TemplateError::NotAnIndex(text.to_owned())),
            (false, Source::User) => Err(TemplateError::NotWhole(text.to_owned())),
            (false, _) => Err(TemplateError::EmptyStep(text.to_owned())),
        }
    }

    /// A path into the claims, as conditions name it.
    pub(super) fn of_claim(text: &str) -> Result<Self, TemplateError> {
        Path::parse(&format!("claims.{text}"))
    }

    pub(super) fn resolve<'a>(&self, context: &Context<'a>) -> Option<Cow<'a, Value>> {
        let text = |text: &str| Some(Cow::Owned(Value::from(text)));
        match self.source {
            Source::Auth => descend(context.auth, &self.steps).map(Cow::Borrowed),
            Source::Claims => match self.steps.split_first() {
                Some((first, rest)) => descend(context.claims?.get(first)?, rest).map(Cow::Borrowed),
                None => Some(Cow::Owned(Value::Object(context.claims.cloned().unwrap_or_default()))),
            },
            Source::User => text(context.user?),
            Source::Query => form_urlencoded::parse(context.query.as_bytes())
                .find(|(name, _)| *name == *self.steps[0])
                .map(|(_, value)| Cow::Owned(Value::String(value.into_owned()))),
            Source::Path => text(&context.path.iter().find(|(name, _)| **name == *self.steps[0])?.1),
            Source::Args => match context.args {
                Args::Json(args) => {
                    let json = args.get(self.steps[0].parse::<usize>().ok()?)?;
                    let value: Value = serde_json::from_str(json).ok()?;
                    descend(&value, &self.steps[1..]).cloned().map(Cow::Owned)
                }
                Args::Found(found) => text(&found.iter().find(|found| found.steps == self.steps)?.text),
            },
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            Source::Auth => "auth",
            Source::Claims => "claims",
            Source::User => "user",
            Source::Query => "query",
            Source::Path => "path",
            Source::Args => "args",
        })?;
        self.steps.iter().try_for_each(|step| write!(f, ".{step}"))
    }
}

/// A text or a number as the text that stands for it in names.
pub(super) fn as_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn descend<'a>(value: &'a Value, steps: &[String]) -> Option<&'a Value> {
    steps.iter().try_fold(value, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        Value::Object(map) => map.get(step),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}
