//! What a client of a namespace joins on connect, what its events do, and how
//! much it may send.
//!
//! Compiled from the configuration once ([`NamespacePolicy::compile`]); the
//! session asks it. Pure: it says what shall be done, or what has to be asked
//! first ([`Question`]), and does nothing.
//!
//! Invariants: what a template's static text makes a user room is one, and
//! nothing that a client sends can make one; a rendered name is a valid room
//! name of the template's form, and can be taken apart again. Failures: a
//! placeholder without a value, or one that no room can be named by, is an
//! error to the client, never an empty name.

mod arguments;
mod condition;
mod path;
mod rate;
mod rules;
mod template;

pub use arguments::ArgsTemplate;
pub use condition::{Question, Verdict};
pub use path::{Args, Context};
pub use rate::{Excess, Rate, RateLimits};
pub use rules::{AckArgs, Action, Emission, Grant, NamespacePolicy, Right, Rule, Target, args_not_in_room};
pub use template::{RenderError, RoomTemplate, Template, TemplateError};
