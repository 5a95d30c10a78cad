//! Text with placeholders: `{claims.sub}`, `{query.room}`, `{args.0}`.
//!
//! A value can never stand for more than itself: it must not be empty or hold
//! control characters, nor any separator of the text around it, so that
//! `session:{args.0}` makes names of that form and no other. A name can
//! therefore be taken apart again, which is how a client's right to a room is
//! judged anew when it comes back ([`RoomTemplate::take_apart`]).

use crate::message::{BadRoomName, Room};

use super::path::{Context, Found, Path, Source, as_text};

/// What parts names from each other; those that a template's own text holds
/// must not be in its values.
const SEPARATORS: [char; 4] = [':', '/', '|', '#'];

/// A parsed text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    /// What no value may hold.
    separators: Vec<char>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Path),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("`{{` without `}}`")]
    Unclosed,
    #[error("`}}` without `{{`")]
    Unopened,
    #[error("unknown placeholder `{{{0}}}`: it starts with auth, claims, user, query, path or args")]
    UnknownSource(String),
    #[error("`{{{0}}}` needs a name after the dot")]
    EmptyStep(String),
    #[error("`{{{0}}}` needs a number: args.0 is the first argument")]
    NotAnIndex(String),
    #[error("`{{{0}}}`: the user has no parts")]
    NotWhole(String),
    #[error("between two placeholders there must be one of `: / | #`")]
    Adjacent,
    #[error("the template is empty")]
    Empty,
}

/// Why a template has no value for this client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("`{0}` is missing, or is not text or a number")]
    Missing(String),
    #[error("`{0}` must not be empty")]
    EmptyValue(String),
    #[error("`{path}` must not hold `{separator}`")]
    Separator { path: String, separator: char },
    #[error(transparent)]
    BadRoom(#[from] BadRoomName),
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
        let holds =
            |separator: &char| parts.iter().any(|part| matches!(part, Part::Text(text) if text.contains(*separator)));
        let separators = SEPARATORS.into_iter().filter(holds).collect();
        Ok(Template { parts, separators })
    }

    /// The text; each placeholder must be a string or a number.
    pub fn render(&self, context: &Context<'_>) -> Result<String, RenderError> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(path) => {
                    let value = path.resolve(context);
                    let text = value.as_deref().and_then(as_text);
                    let text = text.ok_or_else(|| RenderError::Missing(path.to_string()))?;
                    if text.is_empty() {
                        return Err(RenderError::EmptyValue(path.to_string()));
                    }
                    if let Some(separator) = text.chars().find(|character| self.separators.contains(character)) {
                        return Err(RenderError::Separator { path: path.to_string(), separator });
                    }
                    if text.chars().any(char::is_control) {
                        return Err(BadRoomName::ControlCharacter.into());
                    }
                    out.push_str(&text);
                }
            }
        }
        Ok(out)
    }

    /// The text for reading, in which values may hold anything; `None` when one is missing.
    pub(super) fn fill(&self, context: &Context<'_>) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(path) => out.push_str(&as_text(path.resolve(context).as_deref()?)?),
            }
        }
        Some(out)
    }

    /// Whether names can be told apart into their values: between two
    /// placeholders stands a separator.
    fn is_separable(&self) -> bool {
        let mut parted = true;
        self.parts.iter().all(|part| match part {
            Part::Text(text) => {
                parted |= text.contains(SEPARATORS);
                true
            }
            Part::Value(_) => std::mem::replace(&mut parted, false),
        })
    }

    /// The arguments that this name was made with, if it was by this template
    /// for this client.
    fn take_apart(&self, name: &str, context: &Context<'_>) -> Option<Vec<Found>> {
        let mut found: Vec<Found> = Vec::new();
        let mut rest = name;
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Part::Value(path) => {
                    let end = match parts.peek() {
                        // a value holds no separator, so the first place where the text stands is its end
                        Some(Part::Text(text)) => self.end_of_value(rest, text)?,
                        Some(Part::Value(_)) => return None,
                        None => rest.len(),
                    };
                    let (value, after) = rest.split_at(end);
                    if value.is_empty() || value.contains(&self.separators[..]) {
                        return None;
                    }
                    if path.source == Source::Args {
                        match found.iter().find(|found| found.steps == path.steps) {
                            Some(earlier) if earlier.text != value => return None,
                            Some(_) => {}
                            None => found.push(Found { steps: path.steps.clone(), text: value.to_owned() }),
                        }
                    } else if path.resolve(context).as_deref().and_then(as_text)? != value {
                        return None;
                    }
                    rest = after;
                }
            }
        }
        rest.is_empty().then_some(found)
    }

    /// Where the value that begins a name ends, `text` being what follows it.
    fn end_of_value(&self, name: &str, text: &str) -> Option<usize> {
        match text.find(&self.separators[..]) {
            Some(in_text) => name.find(&self.separators[..])?.checked_sub(in_text),
            // without a separator it is the last piece of the name
            None => name.len().checked_sub(text.len()),
        }
        .filter(|end| name.is_char_boundary(*end))
    }

    /// Whether the text is one placeholder and nothing else.
    pub(super) fn as_value(&self) -> Option<&Path> {
        match self.parts.as_slice() {
            [Part::Value(path)] => Some(path),
            _ => None,
        }
    }

    pub(super) fn uses_auth(&self) -> bool {
        self.paths().any(|path| path.source == Source::Auth)
    }

    /// The arguments of events that it takes.
    pub(super) fn args(&self) -> impl Iterator<Item = &[String]> {
        self.paths().filter(|path| path.source == Source::Args).map(|path| &path.steps[..])
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(path) => Some(path),
            Part::Text(_) => None,
        })
    }
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
        let (user, name) = match text.strip_prefix("user:") {
            Some(rest) => (true, Template::parse(rest)?),
            None => (false, Template::parse(text)?),
        };
        if !name.is_separable() {
            return Err(TemplateError::Adjacent);
        }
        Ok(RoomTemplate { user, name })
    }

    pub fn render(&self, context: &Context<'_>) -> Result<Room, RenderError> {
        let name = self.name.render(context)?;
        Ok(if self.user { Room::user(&name)? } else { Room::named(&name)? })
    }

    /// The arguments with which an event of this client makes this room;
    /// `None` when none do.
    pub(super) fn take_apart(&self, room: &Room, context: &Context<'_>) -> Option<Vec<Found>> {
        match (room, self.user) {
            (Room::User(name), true) | (Room::Named(name), false) => self.name.take_apart(name, context),
            (Room::All | Room::Socket(_) | Room::User(_) | Room::Named(_), _) => None,
        }
    }

    /// Whether some client's values make this room.
    pub(super) fn has_form_of(&self, room: &Room) -> bool {
        let open = self.name.parts.iter().map(|part| match part {
            Part::Text(text) => Part::Text(text.clone()),
            Part::Value(path) => Part::Value(Path { source: Source::Args, steps: vec![path.to_string()] }),
        });
        let any = Template { parts: open.collect(), separators: self.name.separators.clone() };
        let name = match (room, self.user) {
            (Room::User(name), true) | (Room::Named(name), false) => name,
            (Room::All | Room::Socket(_) | Room::User(_) | Room::Named(_), _) => return false,
        };
        any.take_apart(name, &Context::EMPTY).is_some()
    }

    pub(super) fn uses_auth(&self) -> bool {
        self.name.uses_auth()
    }

    pub(super) fn args(&self) -> impl Iterator<Item = &[String]> {
        self.name.args()
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
