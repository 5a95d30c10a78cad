use serde_json::json;

use super::*;

fn policy(toml: &str) -> NamespacePolicy {
    let text = format!("[redis]\nurl = 'redis://localhost'\n[[namespaces]]\nname = '/'\n{toml}");
    let config = config::parse("c.toml", &text, &std::collections::BTreeMap::<String, String>::new()).unwrap();
    NamespacePolicy::compile(&config.namespaces[0]).unwrap()
}

#[test]
fn rights_to_rooms_are_judged_anew() {
    let policy = policy(
        "[namespaces.on_connect]
        join = ['team:{claims.team}', { room = 'room:{query.room}', optional = true }]
        [[namespaces.events]]
        event = 'join-session'
        action = 'join'
        room = 'session:{args.0}'
        when = { claim = 'sessions', contains = '{args.0}' }
        [[namespaces.events]]
        event = 'join-file'
        action = 'join'
        room = 'file:{args.0}'
        when = [{ claim = 'role', equals = 'editor' }, { redis_set = 'files:{args.0}', member = '{user}' }]",
    );
    let claims = json!({"team": "red", "sessions": ["a", 2], "role": "editor"});
    let context = Context { claims: claims.as_object(), user: Some("ann"), query: "room=x", ..Context::EMPTY };
    let asked = || {
        let questions = vec![Question::InSet { key: "files:f".to_owned(), member: "ann".to_owned() }];
        Right::If(vec![Grant { event: Some("join-file".to_owned()), questions }])
    };
    for (room, right) in [
        (Room::named("team:red"), Right::Held),
        (Room::named("team:blue"), Right::If(vec![])),
        (Room::named("room:x"), Right::Held),
        (Room::named("room:y"), Right::If(vec![])),
        (Room::named("session:a"), Right::Held),
        (Room::named("session:2"), Right::Held),
        (Room::named("session:b"), Right::If(vec![])),
        (Room::named("file:f"), asked()),
        (Room::named("backend:1"), Right::Unruled),
        (Room::named("session:a:b"), Right::Unruled),
        (Room::user("ann"), Right::Unruled),
    ] {
        let room = room.unwrap();
        assert_eq!(policy.right(&room, &context), right, "{room:?}");
    }
    let viewer = json!({"role": "viewer"});
    let context = Context { claims: viewer.as_object(), ..context };
    assert_eq!(policy.right(&Room::named("file:f").unwrap(), &context), Right::If(vec![]));
}

#[test]
fn conditions_of_joins_take_what_the_name_holds() {
    let rule = |room: &str, value: &str| config::EventRule {
        event: "e".to_owned(),
        action: config::EventAction::Join { room: room.to_owned() },
        when: vec![config::Condition::ClaimContains { claim: "c".to_owned(), value: value.to_owned() }],
        error_event: None,
        history: None,
    };
    assert_eq!(args_not_in_room(&rule("a:{args.0}", "{args.0}")), Vec::<String>::new());
    assert_eq!(args_not_in_room(&rule("a:{args.0}", "{args.1.x}")), ["args.1.x"]);
}
