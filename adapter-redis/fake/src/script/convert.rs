//! Values of Lua to replies and back, as Redis converts them for protocol version 2.

use mlua::{Lua, LuaString, Table, Value};

use crate::{
    number::text_of_float,
    reply::{Bytes, Failure, Reply},
};

/// The names of fields that have a meaning, as Lua's own strings.
#[derive(Clone)]
pub(super) struct Convert {
    err: LuaString,
    ok: LuaString,
    double: LuaString,
}

impl Convert {
    pub(super) fn new(lua: &Lua) -> mlua::Result<Self> {
        let name = |name: &str| lua.create_string(name);
        Ok(Self { err: name("err")?, ok: name("ok")?, double: name("double")? })
    }

    pub(super) fn texts(&self, lua: &Lua, texts: &[Bytes]) -> mlua::Result<Table> {
        let table = lua.create_table_with_capacity(texts.len(), 0)?;
        for text in texts {
            table.raw_push(lua.create_string(text)?)?;
        }
        Ok(table)
    }

    pub(super) fn error(&self, lua: &Lua, failure: &Failure) -> mlua::Result<Value> {
        self.named(lua, &self.err, &failure.0)
    }

    fn named(&self, lua: &Lua, name: &LuaString, text: &str) -> mlua::Result<Value> {
        let table = lua.create_table_with_capacity(0, 1)?;
        table.raw_set(name, lua.create_string(text)?)?;
        Ok(Value::Table(table))
    }

    pub(super) fn to_lua(&self, lua: &Lua, reply: &Reply) -> mlua::Result<Value> {
        Ok(match reply {
            Reply::Nil => Value::Boolean(false),
            Reply::Int(number) => Value::Number(*number as f64),
            Reply::Bulk(text) => Value::String(lua.create_string(text)?),
            Reply::Status(status) => self.named(lua, &self.ok, status)?,
            Reply::Error(failure) => self.error(lua, failure)?,
            Reply::Array(items) => {
                let table = lua.create_table_with_capacity(items.len(), 0)?;
                for item in items {
                    table.raw_push(self.to_lua(lua, item)?)?;
                }
                Value::Table(table)
            }
        })
    }

    pub(super) fn to_reply(&self, value: Value) -> mlua::Result<Reply> {
        Ok(match value {
            Value::Boolean(true) => Reply::Int(1),
            Value::Integer(number) => Reply::Int(number),
            Value::Number(number) => Reply::Int(number as i64),
            Value::String(text) => Reply::Bulk(Bytes::from(&*text.as_bytes())),
            Value::Table(table) => self.table_to_reply(&table)?,
            _ => Reply::Nil,
        })
    }

    fn table_to_reply(&self, table: &Table) -> mlua::Result<Reply> {
        if let Value::String(text) = table.raw_get(&self.err)? {
            return Ok(Reply::Error(Failure(text.to_string_lossy())));
        }
        if let Value::String(text) = table.raw_get(&self.ok)? {
            return Ok(Reply::Status(text.to_string_lossy().replace(['\r', '\n'], " ")));
        }
        match table.raw_get(&self.double)? {
            Value::Number(number) => return Ok(Reply::text(text_of_float(number))),
            Value::Integer(number) => return Ok(Reply::text(text_of_float(number as f64))),
            _ => {}
        }
        // up to the first nil
        let items = table.sequence_values::<Value>().map(|item| self.to_reply(item?));
        Ok(Reply::Array(items.collect::<mlua::Result<_>>()?))
    }
}
