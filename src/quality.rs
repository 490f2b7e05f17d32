//! Quality: the chance that a model's answer to a request is acceptable.
//!
//! Pure: a text and what is known of a model go in, a chance with its error comes out. A trained
//! [`Artifact`] reads the text: which kind it is, how like that it is, and how hard. Of a model it
//! may know the recorded outcomes themselves, or only a level that somebody states or published
//! scores give; where the text is unlike all that it was trained on, the level is all that counts,
//! and the error says how little that is.

mod artifact;
mod correction;
mod evidence;
mod features;
mod judge;
mod reading;
mod scores;

pub use self::{
    artifact::{Artifact, ArtifactError, Known, LARGEST},
    correction::{Correction, CorrectionError, Corrections},
    evidence::{Evidence, Lessons},
    judge::{Judged, Odds, Placed, Stated, builtin},
    reading::{Chance, Reading},
    scores::{Levels, Scores, ScoresError, Table},
};
