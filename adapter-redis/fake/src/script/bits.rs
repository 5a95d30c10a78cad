//! The library `bit`: operations on signed 32-bit numbers.

use mlua::{Lua, Table, Variadic};

type Fold = fn(i32, i32) -> i32;
type Shift = fn(i32, u32) -> i32;

/// Numbers are taken modulo 2^32.
fn wrapped(number: f64) -> i32 {
    number.round_ties_even().rem_euclid(4_294_967_296.0) as u32 as i32
}

pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("tobit", lua.create_function(|_, number: f64| Ok(wrapped(number)))?)?;
    table.set("bnot", lua.create_function(|_, number: f64| Ok(!wrapped(number)))?)?;
    table.set("bswap", lua.create_function(|_, number: f64| Ok(wrapped(number).swap_bytes()))?)?;
    let folds: [(&str, Fold); 3] = [("band", |a, b| a & b), ("bor", |a, b| a | b), ("bxor", |a, b| a ^ b)];
    for (name, fold) in folds {
        let function = move |_: &Lua, (first, rest): (f64, Variadic<f64>)| {
            Ok(rest.iter().map(|number| wrapped(*number)).fold(wrapped(first), fold))
        };
        table.set(name, lua.create_function(function)?)?;
    }
    let shifts: [(&str, Shift); 5] = [
        ("lshift", |number, by| number << by),
        ("rshift", |number, by| (number as u32 >> by) as i32),
        ("arshift", |number, by| number >> by),
        ("rol", |number, by| number.rotate_left(by)),
        ("ror", |number, by| number.rotate_right(by)),
    ];
    for (name, shift) in shifts {
        let function = move |_: &Lua, (number, by): (f64, f64)| Ok(shift(wrapped(number), wrapped(by) as u32 & 31));
        table.set(name, lua.create_function(function)?)?;
    }
    table.set(
        "tohex",
        lua.create_function(|_, (number, digits): (f64, Option<f64>)| {
            let digits = digits.map_or(8, |digits| digits as i64);
            let text = format!("{:08x}", wrapped(number));
            let text = &text[8 - digits.unsigned_abs().min(8) as usize..];
            Ok(if digits < 0 { text.to_uppercase() } else { text.to_owned() })
        })?,
    )?;
    Ok(table)
}
