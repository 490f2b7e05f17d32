//! The provider simulator over real TCP: each directive and fault does what it says, what it
//! accepts is strict, and its account is true. (`cfg(test)` tells clippy that helpers are tests.)

#[cfg(test)]
#[path = "simulate/account.rs"]
mod account;
#[cfg(test)]
#[path = "simulate/answers.rs"]
mod answers;
#[cfg(test)]
#[path = "simulate/client.rs"]
mod client;
#[cfg(test)]
#[path = "simulate/faults.rs"]
mod faults;
#[cfg(test)]
#[path = "simulate/streams.rs"]
mod streams;
#[cfg(test)]
#[path = "simulate/strictness.rs"]
mod strictness;
