//! What `check` finds: how it is to be taken, and what to do about it.

use crate::config::Problem;
use serde::Serialize;
use std::fmt::Write;

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Grade {
    Good,
    /// Works, but should be changed.
    Advice,
    Wrong,
}

#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) grade: Grade,
    /// The setting or part that it is about.
    pub(super) about: String,
    pub(super) text: String,
    /// What to do; empty if nothing.
    pub(super) remedy: String,
    /// Where the configuration says so, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<Problem>,
}

/// All that was found, in the order of looking.
#[derive(Default)]
pub(in crate::cli) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    pub(super) fn good(&mut self, about: &str, text: String) {
        self.add(Grade::Good, about, text, "");
    }

    pub(super) fn advice(&mut self, about: &str, text: String, remedy: &str) {
        self.add(Grade::Advice, about, text, remedy);
    }

    pub(super) fn wrong(&mut self, about: &str, text: String, remedy: &str) {
        self.add(Grade::Wrong, about, text, remedy);
    }

    fn add(&mut self, grade: Grade, about: &str, text: String, remedy: &str) {
        self.0.push(Finding {
            grade,
            about: about.to_owned(),
            text,
            remedy: remedy.to_owned(),
            place: None,
        });
    }

    pub(super) fn problem(&mut self, grade: Grade, problem: &Problem) {
        self.0.push(Finding {
            grade,
            about: "configuration".to_owned(),
            text: problem.text.clone(),
            remedy: problem.remedy.clone(),
            place: Some(problem.clone()),
        });
    }

    pub(super) fn is_well(&self) -> bool {
        self.0.iter().all(|finding| finding.grade != Grade::Wrong)
    }

    /// Lines for people.
    pub(super) fn for_people(&self) -> String {
        let mut text = String::new();
        for finding in &self.0 {
            let grade = match finding.grade {
                Grade::Good => "good  ",
                Grade::Advice => "advice",
                Grade::Wrong => "WRONG ",
            };
            let told = match &finding.place {
                Some(problem) => writeln!(text, "{grade}  {problem}"),
                None if finding.remedy.is_empty() => {
                    writeln!(text, "{grade}  {}: {}", finding.about, finding.text)
                }
                None => writeln!(
                    text,
                    "{grade}  {}: {}\n  -> {}",
                    finding.about, finding.text, finding.remedy
                ),
            };
            told.expect("a String takes everything");
        }
        let count = |grade| self.0.iter().filter(|finding| finding.grade == grade).count();
        text += &format!("{} wrong, {} to advise\n", count(Grade::Wrong), count(Grade::Advice));
        text
    }
}

/// Grade, text and remedy of the only finding.
#[cfg(test)]
pub(super) fn one(findings: &Findings) -> (String, String, String) {
    let [finding] = &findings.0[..] else { panic!("one finding: {:#?}", findings.0) };
    let grade = match finding.grade {
        Grade::Good => "good",
        Grade::Advice => "advice",
        Grade::Wrong => "wrong",
    };
    (grade.to_owned(), finding.text.clone(), finding.remedy.clone())
}
