use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::policy::path::Args;

fn with<T>(args: &[&str], then: impl FnOnce(&Context<'_>) -> T) -> T {
    let auth = json!({"user": "ann", "team": {"id": 7}, "empty": "", "list": ["x"], "flag": true});
    let claims = json!({"sub": "u1", "org": "a:b", "nested": {"id": 5}});
    let path = [("tenant".into(), "blue".into())];
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    then(&Context {
        auth: &auth,
        claims: claims.as_object(),
        user: Some("u1"),
        query: "room=a%20b&x=&evil=a%3Ab&nul=%00",
        path: &path,
        args: Args::Json(&args),
    })
}

fn render(template: &str) -> Result<Room, RenderError> {
    let args = [r#""room-1""#, r#"{"a":"b"}"#, r#""user:7""#, "12", r#""""#];
    with(&args, |context| RoomTemplate::parse(template).unwrap().render(context))
}

#[test]
fn rooms_are_rendered() {
    for (template, expected) in [
        ("news", Room::named("news")),
        ("user:{auth.user}", Room::user("ann")),
        ("user:{claims.sub}", Room::user("u1")),
        ("user:{claims.org}", Room::user("a:b")),
        ("user:{user}", Room::user("u1")),
        ("team:{auth.team.id}:all", Room::named("team:7:all")),
        ("{auth.list.0}", Room::named("x")),
        ("room:{query.room}", Room::named("room:a b")),
        ("{args.0}", Room::named("room-1")),
        ("{args.1.a}", Room::named("b")),
        ("session:{args.3}", Room::named("session:12")),
        ("{path.tenant}/{args.0}", Room::named("blue/room-1")),
        ("{path.tenant}/{query.evil}", Room::named("blue/a:b")),
    ] {
        assert_eq!(render(template), Ok(expected.unwrap()), "{template}");
    }
}

#[test]
fn what_has_no_value_is_an_error() {
    for template in [
        "{auth.nobody}",
        "{auth.flag}",
        "{auth.team}",
        "{auth}",
        "{claims}",
        "{claims.x}",
        "{query.y}",
        "{path.x}",
        "{args.1}",
        "{args.9}",
    ] {
        assert!(matches!(render(template), Err(RenderError::Missing(_))), "{template}");
    }
    assert_eq!(render("{auth.empty}"), Err(RenderError::EmptyValue("auth.empty".to_owned())));
    assert_eq!(render("room:{query.x}"), Err(RenderError::EmptyValue("query.x".to_owned())));
    assert_eq!(render("a:{args.4}"), Err(RenderError::EmptyValue("args.4".to_owned())));
}

#[test]
fn a_value_stands_for_itself_alone() {
    let separator = |path: &str| Err(RenderError::Separator { path: path.to_owned(), separator: ':' });
    assert_eq!(render("session:{args.2}"), separator("args.2"));
    assert_eq!(render("org:{claims.org}"), separator("claims.org"));
    assert_eq!(render("x:{query.evil}:y"), separator("query.evil"));
    assert_eq!(render("x:{query.nul}"), Err(RenderError::BadRoom(BadRoomName::ControlCharacter)));
    assert_eq!(render("{args.2}"), Ok(Room::named("user:7").unwrap()), "and never makes a user room");
    let long = format!("\"{}\"", "x".repeat(300));
    let long = with(&[&long], |context| RoomTemplate::parse("s:{args.0}").unwrap().render(context));
    assert_eq!(long, Err(RenderError::BadRoom(BadRoomName::TooLong)));
}

#[test]
fn bad_templates_are_refused() {
    for (text, expected) in [
        ("", TemplateError::Empty),
        ("a{auth.x", TemplateError::Unclosed),
        ("a}b", TemplateError::Unopened),
        ("{env.x}", TemplateError::UnknownSource("env.x".into())),
        ("{auth.}", TemplateError::EmptyStep("auth.".into())),
        ("{args}", TemplateError::NotAnIndex("args".into())),
        ("{args.x}", TemplateError::NotAnIndex("args.x".into())),
        ("{query}", TemplateError::EmptyStep("query".into())),
        ("{user.id}", TemplateError::NotWhole("user.id".into())),
    ] {
        assert_eq!(Template::parse(text), Err(expected), "{text}");
    }
    for text in ["{args.0}{args.1}", "a:{args.0}-{args.1}"] {
        assert_eq!(RoomTemplate::parse(text), Err(TemplateError::Adjacent), "{text}");
    }
}

#[test]
fn names_are_taken_apart() {
    let found = |template: &str, room: &str| {
        let room = Room::named(room).unwrap();
        let template = RoomTemplate::parse(template).unwrap();
        let found = with(&[], |context| template.take_apart(&room, context));
        found.map(|found| found.into_iter().map(|found| (found.steps.join("."), found.text)).collect::<Vec<_>>())
    };
    let pair = |steps: &str, text: &str| (steps.to_owned(), text.to_owned());
    assert_eq!(found("session:{args.0}", "session:42"), Some(vec![pair("0", "42")]));
    assert_eq!(found("session:{args.0}", "session:"), None);
    assert_eq!(found("session:{args.0}", "session:4:2"), None);
    assert_eq!(found("session:{args.0}", "sessions:4"), None);
    assert_eq!(found("{claims.sub}:{args.0.id}", "u1:4"), Some(vec![pair("0.id", "4")]));
    assert_eq!(found("{claims.sub}:{args.0}", "u2:4"), None);
    assert_eq!(found("a:{args.0}-x:{args.1}", "a:b-x-x:c"), Some(vec![pair("0", "b-x"), pair("1", "c")]));
    assert_eq!(found("a:{args.0}:{args.0}", "a:b:b"), Some(vec![pair("0", "b")]));
    assert_eq!(found("a:{args.0}:{args.0}", "a:b:c"), None);
    assert_eq!(found("{args.0}-end", "x-end-end"), Some(vec![pair("0", "x-end")]));
    assert_eq!(found("news", "news"), Some(vec![]));
    let form =
        |template: &str, room: &str| RoomTemplate::parse(template).unwrap().has_form_of(&Room::named(room).unwrap());
    assert!(form("team:{claims.team}", "team:red"));
    assert!(!form("team:{claims.team}", "teams:red"));
    assert!(!form("user:{claims.sub}", "user:u1"), "a named room is no user room");
}

proptest! {
    /// What a template makes, it takes apart into the same values; and what
    /// it does not make, it does not.
    #[test]
    fn names_are_made_and_taken_apart_alike(
        template in prop::sample::select(vec![
            "{args.0}", "s:{args.0}", "{args.0}:s", "s/{args.0}-t/{args.1}", "a:{args.0}:b:{args.1}:c", "s-{args.0}-t",
        ]),
        values in prop::collection::vec("[a-c:/#|\u{e9} -]{0,6}", 2),
        other in "[a-cst:/#|\u{e9} -]{1,12}",
    ) {
        let template = RoomTemplate::parse(template).unwrap();
        let json: Vec<String> = values.iter().map(|value| json!(value).to_string()).collect();
        let context = Context { args: Args::Json(&json), ..Context::EMPTY };
        if let Ok(room) = template.render(&context) {
            let found = template.take_apart(&room, &context).unwrap();
            for Found { steps, text } in &found {
                prop_assert_eq!(text, &values[steps[0].parse::<usize>().unwrap()]);
            }
            prop_assert!(template.has_form_of(&room));
        }
        let other = Room::named(&other).unwrap();
        if let Some(found) = template.take_apart(&other, &Context::EMPTY) {
            let again = Context { args: Args::Found(&found), ..Context::EMPTY };
            prop_assert_eq!(template.render(&again), Ok(other));
        }
    }
}
