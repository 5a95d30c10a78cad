//! What the server gives to scripts: calls of commands, and the telling of errors.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use mlua::{Error, FromLua, IntoLua, Lua, MultiValue, Table, Value};
use sha1::{Digest, Sha1};

use super::convert::Convert;
use crate::{
    core::Core,
    number::argument,
    reply::{Bytes, Failure, Outcome, Reply},
    server::lock,
};

/// An error on its way through Lua.
#[derive(Debug)]
pub(super) enum Raised {
    /// Of a command, with its code.
    Reply(String),
    /// Of a library's function, to be told with the line of the script.
    Argument(String),
}

impl fmt::Display for Raised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Reply(text) | Self::Argument(text)) = self;
        formatter.write_str(text)
    }
}

impl std::error::Error for Raised {}

impl Raised {
    /// In the words of Lua for an argument, which are counted from 1.
    pub(super) fn argument(index: usize, function: &str, why: impl fmt::Display) -> Error {
        Error::external(Self::Argument(format!("bad argument #{index} to '{function}' ({why})")))
    }

    fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::CallbackError { cause, .. } => Self::of(cause),
            Error::ExternalError(external) => external.downcast_ref(),
            _ => None,
        }
    }
}

/// How a script ended that failed.
pub(super) struct Problem {
    /// With a code.
    pub(super) text: String,
    pub(super) line: Option<usize>,
}

impl IntoLua for Problem {
    fn into_lua(self, lua: &Lua) -> mlua::Result<Value> {
        (lua.create_sequence_from([self.text.into_lua(lua)?, self.line.into_lua(lua)?])?).into_lua(lua)
    }
}

impl FromLua for Problem {
    fn from_lua(value: Value, lua: &Lua) -> mlua::Result<Self> {
        let table = Table::from_lua(value, lua)?;
        Ok(Self { text: table.raw_get(1)?, line: table.raw_get(2)? })
    }
}

/// `redis.call` and its like.
pub(super) fn server(lua: &Lua, core: &Arc<Mutex<Core>>, convert: &Convert) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let (core, core_of_pcall) = (core.clone(), core.clone());
    let (convert, convert_of_pcall) = (convert.clone(), convert.clone());
    table.set(
        "call",
        lua.create_function(move |lua, args: MultiValue| {
            let reply = command(&core, &args).map_err(|failure| Error::external(Raised::Reply(failure.0)))?;
            convert.to_lua(lua, &reply)
        })?,
    )?;
    table.set(
        "pcall",
        lua.create_function(move |lua, args: MultiValue| match command(&core_of_pcall, &args) {
            Ok(reply) => convert_of_pcall.to_lua(lua, &reply),
            Err(failure) => convert_of_pcall.error(lua, &failure),
        })?,
    )?;
    table.set(
        "sha1hex",
        lua.create_function(|_, args: MultiValue| {
            if args.len() != 1 {
                return Err(Error::external(Raised::Reply("ERR wrong number of arguments".into())));
            }
            Ok(hex::encode(Sha1::digest(text(&args[0]).unwrap_or_else(|| Bytes::from([])))))
        })?,
    )?;
    Ok(table)
}

fn text(value: &Value) -> Option<Bytes> {
    match value {
        Value::String(text) => Some(Bytes::from(&*text.as_bytes())),
        Value::Integer(number) => Some(argument(*number as f64)),
        Value::Number(number) => Some(argument(*number)),
        _ => None,
    }
}

fn command(core: &Mutex<Core>, args: &MultiValue) -> Outcome {
    if args.is_empty() {
        return Err(Failure::new("ERR Please specify at least one argument for this redis lib call"));
    }
    let args: Option<Vec<_>> = args.iter().map(text).collect();
    let args = args.ok_or_else(|| Failure::new("ERR Lua redis lib command arguments must be strings or integers"))?;
    match lock(core).execute_in_script(&args)? {
        Reply::Error(failure) => Err(failure),
        reply => Ok(reply),
    }
}

/// The line of the script that runs; functions of ours and of Lua may stand above it.
fn line(lua: &Lua) -> Option<usize> {
    let levels = (0..).map(|level| {
        lua.inspect_stack(level, |at| {
            let ours = at.source().source.is_some_and(|source| source == "@user_script");
            at.current_line().filter(|_| ours)
        })
    });
    levels.map_while(|level| level).flatten().next()
}

/// The handler of errors, called where the error is raised.
pub(super) fn describe(lua: &Lua, problem: Value) -> mlua::Result<Problem> {
    let line = line(lua);
    let text = match &problem {
        Value::Error(error) => match Raised::of(error) {
            Some(Raised::Reply(text)) => text.clone(),
            Some(Raised::Argument(text)) => format!("ERR user_script:{}: {text}", line.unwrap_or(0)),
            None => format!("ERR {error}"),
        },
        Value::Table(table) => table.raw_get::<Option<String>>("err")?.unwrap_or_else(|| "ERR unknown error".into()),
        other => format!("ERR {}", other.to_string()?),
    };
    Ok(Problem { text, line })
}

/// An error as a script sees it that has caught it.
pub(super) fn text_of(lua: &Lua, problem: Value) -> mlua::Result<Value> {
    match &problem {
        Value::Error(error) => Raised::of(error).map_or_else(|| error.to_string(), Raised::to_string).into_lua(lua),
        Value::Table(table) => match table.raw_get("err")? {
            Value::Nil => Ok(problem),
            text => Ok(text),
        },
        _ => Ok(problem),
    }
}
