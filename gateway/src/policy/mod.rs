//! What a client of a namespace joins on connect and what its events do.
//!
//! Compiled from the configuration once ([`NamespacePolicy::compile`]); the
//! session asks it. Pure: it says what shall be done, and does nothing.
//!
//! Invariants: what a template's static text makes a user room is one, and
//! nothing that a client sends can make one; a rendered name is a valid room
//! name. Failures: a placeholder without a value, or one that no room can be
//! named by, is an error to the client, never an empty name.

mod rules;
mod template;

pub use rules::{AckArgs, Action, Emission, NamespacePolicy, Target};
pub use template::{ArgsTemplate, Context, RenderError, RoomTemplate, Template, TemplateError};
