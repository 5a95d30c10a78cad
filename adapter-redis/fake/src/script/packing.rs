//! The library `struct`: numbers and texts to bytes and back. Without alignment, floats and integers of over 8 bytes.

use mlua::{Lua, MultiValue, Table, Value};

use super::host::Raised;

#[derive(Clone, Copy, PartialEq)]
enum Item {
    Unsigned(usize),
    Signed(usize),
    /// Of fixed length; 0: as long as the text, or as the number before says.
    Text(usize),
    /// Ends in a zero.
    Terminated,
    Padding,
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    Big,
    Little,
}

/// The items of a format, each with the order of bytes that holds for it.
fn items(function: &str, format: &[u8]) -> mlua::Result<Vec<(Item, Order)>> {
    let (mut items, mut order, mut rest) = (Vec::new(), Order::Little, format);
    while let Some((&letter, after)) = rest.split_first() {
        let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let sized = matches!(letter, b'i' | b'I' | b'c');
        let (number, after) = if sized { after.split_at(digits) } else { (&[][..], after) };
        rest = after;
        let size = |default: usize| match std::str::from_utf8(number).ok().filter(|number| !number.is_empty()) {
            None => Ok(default),
            Some(number) => number.parse().map_err(|_| Raised::argument(1, function, "size is too large")),
        };
        let item = match letter {
            b'>' => {
                order = Order::Big;
                continue;
            }
            b'<' => {
                order = Order::Little;
                continue;
            }
            b' ' => continue,
            b'b' => Item::Signed(1),
            b'B' => Item::Unsigned(1),
            b'h' => Item::Signed(2),
            b'H' => Item::Unsigned(2),
            b'l' => Item::Signed(8),
            b'L' | b'T' => Item::Unsigned(8),
            b'i' => Item::Signed(size(4)?),
            b'I' => Item::Unsigned(size(4)?),
            b'c' => Item::Text(size(1)?),
            b's' => Item::Terminated,
            b'x' => Item::Padding,
            other => {
                let why = format!("invalid format option '{}'", char::from(other));
                return Err(Raised::argument(1, function, why));
            }
        };
        if let Item::Signed(size) | Item::Unsigned(size) = item
            && !(1..=8).contains(&size)
        {
            return Err(Raised::argument(1, function, format!("integers have 1 to 8 bytes here, not {size}")));
        }
        items.push((item, order));
    }
    Ok(items)
}

fn text_argument(args: &MultiValue, index: usize, function: &str) -> mlua::Result<Vec<u8>> {
    match args.get(index) {
        Some(Value::String(text)) => Ok(text.as_bytes().to_vec()),
        Some(Value::Integer(number)) => Ok(number.to_string().into_bytes()),
        other => {
            let found = other.map_or("no value", Value::type_name);
            Err(Raised::argument(index + 1, function, format!("string expected, got {found}")))
        }
    }
}

fn number_argument(args: &MultiValue, index: usize, function: &str) -> mlua::Result<f64> {
    let number = match args.get(index) {
        Some(Value::Integer(number)) => Some(*number as f64),
        Some(Value::Number(number)) => Some(*number),
        Some(Value::String(text)) => text.to_string_lossy().trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| {
        let found = args.get(index).map_or("no value", Value::type_name);
        Raised::argument(index + 1, function, format!("number expected, got {found}"))
    })
}

fn pack(lua: &Lua, args: MultiValue) -> mlua::Result<mlua::LuaString> {
    let (mut packed, mut index) = (Vec::new(), 1);
    for (item, order) in items("pack", &text_argument(&args, 0, "pack")?)? {
        match item {
            Item::Unsigned(size) | Item::Signed(size) => {
                let number = number_argument(&args, index, "pack")?;
                let number = if number < 0.0 { number as i64 as u64 } else { number as u64 };
                match order {
                    Order::Big => packed.extend_from_slice(&number.to_be_bytes()[8 - size..]),
                    Order::Little => packed.extend_from_slice(&number.to_le_bytes()[..size]),
                }
            }
            Item::Text(size) => {
                let text = text_argument(&args, index, "pack")?;
                let size = if size == 0 { text.len() } else { size };
                // Redis counts one too far here
                let text = text.get(..size).ok_or_else(|| Raised::argument(index + 2, "pack", "string too short"))?;
                packed.extend_from_slice(text);
            }
            Item::Terminated => {
                packed.extend_from_slice(&text_argument(&args, index, "pack")?);
                packed.push(0);
            }
            Item::Padding => {
                packed.push(0);
                continue;
            }
        }
        index += 1;
    }
    lua.create_string(packed)
}

fn unpack(lua: &Lua, args: MultiValue) -> mlua::Result<MultiValue> {
    let items = items("unpack", &text_argument(&args, 0, "unpack")?)?;
    let data = text_argument(&args, 1, "unpack")?;
    let first = if args.len() > 2 { number_argument(&args, 2, "unpack")? } else { 1.0 };
    if first < 1.0 {
        return Err(Raised::argument(3, "unpack", "offset must be 1 or greater"));
    }
    let mut at = first as usize - 1;
    let short = || Raised::argument(2, "unpack", "data string too short");
    let mut take = |size: usize| {
        let part = at.checked_add(size).and_then(|end| data.get(at..end)).ok_or_else(short)?;
        at += size;
        Ok::<_, mlua::Error>(part)
    };
    let mut values: Vec<Value> = Vec::new();
    for (item, order) in items {
        match item {
            Item::Padding => {
                take(1)?;
            }
            Item::Unsigned(size) | Item::Signed(size) => {
                let mut bytes = [0; 8];
                bytes[..size].copy_from_slice(take(size)?);
                if order == Order::Big {
                    bytes[..size].reverse();
                }
                let number = u64::from_le_bytes(bytes);
                let unused = 64 - 8 * size as u32;
                values.push(Value::Number(match item {
                    Item::Signed(_) => ((number << unused) as i64 >> unused) as f64,
                    _ => number as f64,
                }));
            }
            Item::Text(0) => {
                let Some(Value::Number(size)) = values.pop() else {
                    return Err(Raised::argument(1, "unpack", "format 'c0' needs a previous size"));
                };
                values.push(Value::String(lua.create_string(take(size as usize)?)?));
            }
            Item::Text(size) => values.push(Value::String(lua.create_string(take(size)?)?)),
            Item::Terminated => {
                let mut text = Vec::new();
                loop {
                    match take(1) {
                        Ok([0]) => break,
                        Ok(byte) => text.extend_from_slice(byte),
                        Err(_) => {
                            return Err(mlua::Error::external(Raised::Argument("unfinished string in data".into())));
                        }
                    }
                }
                values.push(Value::String(lua.create_string(text)?));
            }
        }
    }
    values.push(Value::Number((at + 1) as f64));
    Ok(MultiValue::from_vec(values))
}

fn size(_: &Lua, args: MultiValue) -> mlua::Result<usize> {
    let mut total = 0;
    for (item, _) in items("size", &text_argument(&args, 0, "size")?)? {
        total += match item {
            Item::Unsigned(size) | Item::Signed(size) => size,
            Item::Padding => 1,
            Item::Text(0) => return Err(Raised::argument(1, "size", "option 'c0' has no fixed size")),
            Item::Terminated => return Err(Raised::argument(1, "size", "option 's' has no fixed size")),
            Item::Text(size) => size,
        };
    }
    Ok(total)
}

pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("pack", lua.create_function(pack)?)?;
    table.set("unpack", lua.create_function(unpack)?)?;
    table.set("size", lua.create_function(size)?)?;
    Ok(table)
}
