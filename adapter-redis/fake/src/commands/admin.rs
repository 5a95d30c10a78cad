//! The server itself: what it is, its settings, its connections, and publishing.

use super::{
    Callers::{All, Clients},
    Command, is,
};
use crate::{
    core::Core,
    glob,
    number::integer,
    reply::{Bytes, Failure, Outcome, Reply},
};

pub(super) const COMMANDS: &[Command] = &[
    Command::server("ping", -1, All, ping),
    Command::server("time", 1, All, time),
    Command::server("info", -1, All, info),
    Command::server("config", -2, Clients, config),
    Command::server("wait", 3, Clients, wait),
    Command::server("publish", 3, All, publish),
    Command::server("hello", -1, Clients, hello),
    Command::server("client", -2, Clients, client),
    Command::server("select", 2, All, select),
];

fn ping(_: &mut Core, args: &[Bytes]) -> Outcome {
    match args {
        [_] => Ok(Reply::Status("PONG".into())),
        [_, text] => Ok(text.clone().into()),
        _ => Err(Failure::arity("ping")),
    }
}

fn time(core: &mut Core, _: &[Bytes]) -> Outcome {
    let now_ms = core.db.now_ms;
    let parts = [now_ms.div_euclid(1000), now_ms.rem_euclid(1000) * 1000];
    Ok(Reply::list(parts.map(|part| Reply::text(part.to_string()))))
}

fn info(core: &mut Core, args: &[Bytes]) -> Outcome {
    let policy = core.config.get("maxmemory-policy").map_or("", String::as_str);
    let sections = [
        ("Server", format!("redis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:{}\r\n", core.run_id())),
        ("Memory", format!("maxmemory_policy:{policy}\r\n")),
        ("Stats", format!("evicted_keys:{}\r\n", core.evicted_keys)),
        ("Replication", format!("role:{}\r\n", core.role.name())),
    ];
    let all = ["all", "default", "everything"];
    let wanted = |name: &str| {
        args.len() == 1 || args[1..].iter().any(|wanted| is(wanted, name) || all.iter().any(|all| is(wanted, all)))
    };
    let sections = sections.iter().filter(|(name, _)| wanted(name));
    let text: Vec<_> = sections.map(|(name, lines)| format!("# {name}\r\n{lines}")).collect();
    Ok(Reply::text(text.join("\r\n")))
}

fn config(core: &mut Core, args: &[Bytes]) -> Outcome {
    if is(&args[1], "get") && args.len() > 2 {
        let wanted = |name: &str| args[2..].iter().any(|pattern| glob::matches(pattern, name.as_bytes()));
        let found = core.config.iter().filter(|(name, _)| wanted(name));
        return Ok(Reply::list(found.flat_map(|(name, value)| [Reply::text(name), Reply::text(value)])));
    }
    if is(&args[1], "set") && args.len() == 4 {
        let name = String::from_utf8_lossy(&args[2]).to_lowercase();
        let value = core
            .config
            .get_mut(&name)
            .ok_or_else(|| Failure(format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")))?;
        *value = String::from_utf8_lossy(&args[3]).into_owned();
        return Ok(Reply::ok());
    }
    Err(unknown_subcommand("CONFIG", &args[1]))
}

fn unknown_subcommand(command: &str, name: &[u8]) -> Failure {
    Failure(format!("ERR unknown subcommand '{}'. Try {command} HELP.", String::from_utf8_lossy(name)))
}

fn wait(core: &mut Core, args: &[Bytes]) -> Outcome {
    integer(&args[1])?;
    let timeout = integer(&args[2]).map_err(|_| Failure::new("ERR timeout is not an integer or out of range"))?;
    if timeout < 0 {
        return Err(Failure::new("ERR timeout is negative"));
    }
    Ok(Reply::Int(core.acknowledging_replicas))
}

fn publish(core: &mut Core, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(core.links.publish(&args[1], &args[2])))
}

/// Protocol version 2 only, so a client that insists on 3 is refused.
fn hello(core: &mut Core, args: &[Bytes]) -> Outcome {
    if let Some(version) = args.get(1) {
        let refused = |_| Failure::new("ERR Protocol version is not an integer or out of range");
        if integer(version).map_err(refused)? != 2 {
            return Err(Failure::new("NOPROTO unsupported protocol version"));
        }
    }
    let words = |name: &str, value: Reply| [Reply::text(name), value];
    Ok(Reply::list(
        [
            words("server", Reply::text("redis")),
            words("version", Reply::text("7.0.15")),
            words("proto", Reply::Int(2)),
            words("id", Reply::Int(core.caller)),
            words("mode", Reply::text("standalone")),
            words("role", Reply::text(core.role.name())),
            words("modules", Reply::Array(Vec::new())),
        ]
        .into_iter()
        .flatten(),
    ))
}

fn client(core: &mut Core, args: &[Bytes]) -> Outcome {
    let name = &args[1];
    match args.len() {
        2 if is(name, "id") => Ok(Reply::Int(core.caller)),
        2 if is(name, "getname") => Ok(Reply::Nil),
        3 if is(name, "setname") || is(name, "no-evict") => Ok(Reply::ok()),
        4 if is(name, "kill") && is(&args[2], "type") && is(&args[3], "pubsub") => {
            Ok(Reply::count(core.links.kill_subscribers()))
        }
        _ => Err(unknown_subcommand("CLIENT", name)),
    }
}

/// There is one database.
fn select(_: &mut Core, args: &[Bytes]) -> Outcome {
    if integer(&args[1])? != 0 {
        return Err(Failure::new("ERR DB index is out of range"));
    }
    Ok(Reply::ok())
}
