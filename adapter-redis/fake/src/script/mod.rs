//! Scripts: which the server knows, and the running of one.
//!
//! There is one Lua for all of a server's life. Scripts see an environment of their own (`prelude.lua`), which they cannot
//! change, so that no run leaves anything to the next. Compiled scripts are kept for good by their text; which of them the
//! server knows is another matter, and is forgotten with a flush or a restart.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use foldhash::fast::FixedState;
use mlua::{Function, Lua, LuaOptions, StdLib, Table, Value};
use sha1::{Digest, Sha1};

use crate::{
    core::Core,
    number::integer,
    reply::{Bytes, Failure, Outcome, Reply},
    server::lock,
};

mod bits;
mod convert;
mod host;
mod packing;

use convert::Convert;

#[derive(Clone)]
struct Script {
    sha: Bytes,
    function: Function,
}

pub(crate) struct Scripts {
    lua: Lua,
    core: Arc<Mutex<Core>>,
    convert: Convert,
    environment: Table,
    /// Where KEYS and ARGV stand.
    globals: Table,
    run: Function,
    /// By the hash of their text, in lower case.
    known: HashMap<Bytes, Script, FixedState>,
    compiled: HashMap<Bytes, Script, FixedState>,
}

impl Scripts {
    pub(crate) fn new(core: Arc<Mutex<Core>>) -> mlua::Result<Self> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        // scripts get the plain `pcall`, which the prelude wraps
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(false))?;
        let convert = Convert::new(&lua)?;
        let server = host::server(&lua, &core, &convert)?;
        let describe = lua.create_function(host::describe)?;
        let text_of = lua.create_function(host::text_of)?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name("@prelude");
        let parts = (server, packing::library(&lua)?, bits::library(&lua)?, text_of, describe);
        let (environment, globals, run) = prelude.call(parts)?;
        let (known, compiled) = (HashMap::default(), HashMap::default());
        Ok(Self { lua, core, convert, environment, globals, run, known, compiled })
    }

    pub(crate) fn flush(&mut self) {
        self.known.clear();
    }

    /// `EVAL`, `EVALSHA` and `SCRIPT`.
    pub(crate) fn command(&mut self, args: &[Bytes]) -> Outcome {
        if args[0].eq_ignore_ascii_case(b"script") {
            return self.script(args);
        }
        let script = if args[0].eq_ignore_ascii_case(b"eval") {
            keys_and_arguments(args)?;
            self.load(&args[1])?
        } else {
            let sha: Bytes = args[1].to_ascii_lowercase().into();
            keys_and_arguments(args)?;
            let known = self.known.get(&sha);
            known.cloned().ok_or_else(|| Failure::new("NOSCRIPT No matching script. Please use EVAL."))?
        };
        let (keys, arguments) = keys_and_arguments(args)?;
        let outcome = self.call(&script, keys, arguments);
        lock(&self.core).end_command();
        outcome.unwrap_or_else(|error| Err(Failure(format!("ERR {error}"))))
    }

    fn call(&self, script: &Script, keys: &[Bytes], arguments: &[Bytes]) -> mlua::Result<Outcome> {
        self.globals.raw_set("KEYS", self.convert.texts(&self.lua, keys)?)?;
        self.globals.raw_set("ARGV", self.convert.texts(&self.lua, arguments)?)?;
        let (ok, result): (bool, Value) = self.run.call(script.function.clone())?;
        if ok {
            return match self.convert.to_reply(result)? {
                Reply::Error(failure) => Ok(Err(failure)),
                reply => Ok(Ok(reply)),
            };
        }
        let problem: host::Problem = mlua::FromLua::from_lua(result, &self.lua)?;
        let sha = String::from_utf8_lossy(&script.sha);
        let place = problem.line.map(|line| format!(" script: {sha}, on @user_script:{line}."));
        Ok(Err(Failure(problem.text + &place.unwrap_or_default())))
    }

    /// Compiles a script, if it is not, and makes it known.
    fn load(&mut self, text: &Bytes) -> Result<Script, Failure> {
        let script = match self.compiled.get(text) {
            Some(script) => script.clone(),
            None => {
                let script = self.compile(text)?;
                self.compiled.insert(text.clone(), script.clone());
                script
            }
        };
        self.known.insert(script.sha.clone(), script.clone());
        Ok(script)
    }

    fn compile(&self, text: &Bytes) -> Result<Script, Failure> {
        let chunk = self.lua.load(&**text).set_name("@user_script").set_mode(mlua::chunk::ChunkMode::Text);
        let function = chunk.set_environment(self.environment.clone()).into_function().map_err(|error| {
            let message = match error {
                mlua::Error::SyntaxError { message, .. } => message,
                other => other.to_string(),
            };
            Failure(format!("ERR Error compiling script (new function): {message}"))
        })?;
        Ok(Script { sha: hex::encode(Sha1::digest(text)).into_bytes().into(), function })
    }

    fn script(&mut self, args: &[Bytes]) -> Outcome {
        match (&*args[1].to_ascii_lowercase(), &args[2..]) {
            (b"load", [text]) => Ok(Reply::Bulk(self.load(text)?.sha)),
            (b"exists", []) => Err(Failure::arity("script|exists")),
            (b"exists", hashes) => {
                Ok(Reply::list(hashes.iter().map(|sha| self.known.contains_key(&*sha.to_ascii_lowercase()))))
            }
            (b"flush", [] | [_]) => {
                self.flush();
                Ok(Reply::ok())
            }
            (b"kill", []) => Err(Failure::new("NOTBUSY No scripts in execution right now.")),
            _ => {
                let name = String::from_utf8_lossy(&args[1]);
                Err(Failure(format!("ERR unknown subcommand '{name}'. Try SCRIPT HELP.")))
            }
        }
    }
}

fn keys_and_arguments(args: &[Bytes]) -> Result<(&[Bytes], &[Bytes]), Failure> {
    let (count, rest) = (integer(&args[2])?, &args[3..]);
    let count = usize::try_from(count).map_err(|_| Failure::new("ERR Number of keys can't be negative"))?;
    let too_many = || Failure::new("ERR Number of keys can't be greater than number of args");
    rest.split_at_checked(count).ok_or_else(too_many)
}
