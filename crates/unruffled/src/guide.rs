//! The pages of the guide that are about this crate, whose examples are tests.

/// What runs a model.
#[doc = include_str!("../../../docs/guide/backends.md")]
pub struct WhatRunsAModel;

/// Types of your own.
#[doc = include_str!("../../../docs/guide/types.md")]
pub struct Types;

/// The steps around models.
#[doc = include_str!("../../../docs/guide/steps.md")]
pub struct StepsAroundModels;

/// Submitted now, run later.
#[doc = include_str!("../../../docs/guide/jobs.md")]
pub struct SubmittedNowRunLater;
