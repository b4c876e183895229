//! The one error type of the crate.

use thiserror::Error;

/// What can be wrong with the arguments of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// An argument's value is out of its range; the text names it and says what is allowed.
    #[error("{0}")]
    Value(String),
    /// Two arrays that must agree in shape do not.
    #[error("{name} has shape {got:?}, expected {expected:?}")]
    Shape {
        /// The argument at fault.
        name: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// The shape it should have.
        expected: Vec<usize>,
    },
}

/// Result of a kernel.
pub type Result<T> = std::result::Result<T, Error>;
