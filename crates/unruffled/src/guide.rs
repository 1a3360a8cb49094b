//! The pages of the guide that are about this crate, whose examples are tests.

/// What runs a model.
#[doc = include_str!("../../../docs/guide/backends.md")]
pub struct WhatRunsAModel;

/// Submitted now, run later.
#[doc = include_str!("../../../docs/guide/jobs.md")]
pub struct SubmittedNowRunLater;
