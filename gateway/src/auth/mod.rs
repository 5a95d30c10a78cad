//! Who a client is: from a token to an identity.
//!
//! [`TokenSources`] finds the token in what a client presented, [`Verifier`] makes an [`Identity`] of it or says by
//! [`AuthError`] why not. The session calls both when a client connects, recovers, or sends a new token. Whether a
//! token was revoked is not known here: the adapter is asked for that.
//!
//! How a token is verified: its length is judged before anything is read (`verifier`), then its shape and header
//! (`token`), the key is chosen (`key`, `jwks`), the signature is verified, and only then are its claims read and
//! judged (`claims`). The cryptography is `jsonwebtoken`'s; the rules are here, for each has its own error, and time
//! is told by a [`Clock`].
//!
//! Invariants:
//! - The configuration alone says which algorithms are allowed. A token chooses one of them, and only by a key that was
//!   made for it: text of a public key is never a secret, `none` is not in the list.
//! - A key is read once. Verifying waits for nothing, but for a new set of keys when the token names a key that the
//!   present one lacks.
//! - No token, claim or secret is logged or told to a client.
//!
//! Failures: without a set of keys, and when one cannot be fetched, the answer is `Unavailable`, which a client may try
//! again. Keys that were fetched once are used until others take their place.

mod claims;
mod error;
mod handshake;
mod identity;
mod jwks;
mod key;
mod metrics;
mod source;
mod token;
mod verifier;

#[cfg(test)]
mod tests;

pub use error::{AuthError, KeyError, NoKey};
pub use handshake::{bearer, cookies};
pub use identity::{Identity, UnixSeconds};
pub use jwks::KeyServer;
pub use key::read_secret;
pub use metrics::AuthMetrics;
pub use source::{HandshakeNeeds, Presented, TokenSources};
pub use verifier::{Clock, Verifier, check};
