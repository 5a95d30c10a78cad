//! Room bus, recovery log and session store on Redis.
//!
//! Empty until the gateway runs on more than one node; the shape it fills is
//! the gateway's `adapter::Adapter` trait, without any of its types.
