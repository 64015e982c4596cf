#![no_std]
//! Placeholder during layout.
