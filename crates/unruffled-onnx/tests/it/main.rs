//! Backends against recorded answers and the contract of the traits.

mod conformance;
