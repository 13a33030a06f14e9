//! What is wrong with an expression whatever the parameters are: an element beyond the end of a list, a key that is in no
//! mapping.

use super::{Find, Form, List, ListForm, Mappings, Node, Text, Values};
use crate::template::error::{Problem, TemplateError};

impl Text {
    /// Adds the faults of this expression and of those within it.
    pub(crate) fn faults(&self, mappings: &Mappings, faults: &mut Vec<TemplateError>) {
        let before = faults.len();
        match &self.form {
            Form::Literal(_) | Form::Ref(_) => {}
            Form::Join { list, .. } => list.faults(mappings, faults),
            Form::Select { index, list } => {
                index.faults(mappings, faults);
                list.faults(mappings, faults);
                // How long a list is can be known when what is in it cannot.
                let ListForm::Items(items) = &list.form else {
                    return self.fault(before, mappings, faults);
                };
                let Some(index) = index.constant(mappings) else {
                    return;
                };
                let chosen = index.trim().parse::<usize>().ok();
                let chosen = chosen.and_then(|at| items.get(at));
                if !matches!(chosen, Some(Some(_))) {
                    let problem = Problem::NothingSelected {
                        index,
                        length: items.len(),
                        null: if chosen.is_some() {
                            ", which is null"
                        } else {
                            ""
                        },
                    };
                    faults.push(TemplateError::new(&self.path, problem));
                }
                return;
            }
            Form::Find(find) => find.faults(mappings, faults),
            Form::Sub { locals, .. } => {
                for (_, text) in locals {
                    text.faults(mappings, faults);
                }
            }
        }
        self.fault(before, mappings, faults);
    }

    /// The fault of the expression as a whole, unless one within it was found since `before`.
    fn fault(&self, before: usize, mappings: &Mappings, faults: &mut Vec<TemplateError>) {
        let outcome = self.evaluate(&without_parameters(mappings));
        if faults.len() == before {
            faults.extend(outcome.err().filter(is_certain));
        }
    }
}

impl List {
    pub(crate) fn faults(&self, mappings: &Mappings, faults: &mut Vec<TemplateError>) {
        let before = faults.len();
        match &self.form {
            // A null among them is one only for whoever picks it.
            ListForm::Items(items) => {
                for text in items.iter().flatten() {
                    text.faults(mappings, faults);
                }
                return;
            }
            ListForm::Split { source, .. } => source.faults(mappings, faults),
            ListForm::Find(find) => find.faults(mappings, faults),
        }
        let outcome = self.texts(&without_parameters(mappings));
        if faults.len() == before {
            faults.extend(outcome.err().filter(is_certain));
        }
    }
}

impl Find {
    fn faults(&self, mappings: &Mappings, faults: &mut Vec<TemplateError>) {
        for text in [&self.map, &self.first, &self.second] {
            text.faults(mappings, faults);
        }
    }
}

impl Node {
    pub(crate) fn faults(&self, mappings: &Mappings, faults: &mut Vec<TemplateError>) {
        match self {
            Self::Constant(_) => {}
            Self::Text(text) => match &text.form {
                // A list is as good as a text here.
                Form::Find(find) => {
                    find.faults(mappings, faults);
                    let outcome = find.evaluate(&text.path, &without_parameters(mappings));
                    faults.extend(outcome.err().filter(is_certain));
                }
                _ => text.faults(mappings, faults),
            },
            Self::List(list) => list.faults(mappings, faults),
            Self::Array(nodes) => nodes.iter().for_each(|node| node.faults(mappings, faults)),
            Self::Object(members) => members
                .iter()
                .for_each(|(_, node)| node.faults(mappings, faults)),
        }
    }
}

fn without_parameters(mappings: &Mappings) -> Values<'_> {
    Values {
        parameter: &|_| None,
        mappings,
    }
}

/// A parameter that has no value yet is no fault.
fn is_certain(error: &TemplateError) -> bool {
    !matches!(error.problem(), Problem::NoValue { .. })
}
