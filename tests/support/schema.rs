//! The JSON Schemas of the contract, `docs/schemas/`.

use jsonschema::Validator;
use serde_json::Value;
use std::path::Path;

/// One of them by its name, such as `event`.
pub struct Schema {
    pub text: Value,
    validator: Validator,
}

impl Schema {
    pub fn of(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas");
        let text = std::fs::read_to_string(folder.join(format!("{name}.json")));
        let text = serde_json::from_str(&text.expect("the schema is there")).expect("JSON");
        let options = jsonschema::options().should_validate_formats(true);
        let validator = options.build(&text).expect("a schema of draft 2020-12");
        Self { text, validator }
    }

    pub fn takes(&self, payload: &Value) -> bool {
        self.validator.is_valid(payload)
    }

    /// Fails with what is wrong with a payload.
    pub fn must_take(&self, payload: &Value) {
        let faults = self.validator.iter_errors(payload);
        let faults: Vec<String> =
            faults.map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        assert!(faults.is_empty(), "{}\n{payload:#}", faults.join("\n"));
    }
}
