//! `AWS::Lambda::Function`, of a package on this machine.

use std::collections::BTreeMap;

use jitp_stack::Made;
use serde_json::Value;

use super::properties::Properties;
use super::{DeployError, Direct, Present};
use crate::environment::function::WantedFunction;

impl Direct<'_> {
    pub(super) async fn function(
        &self,
        properties: &Properties<'_>,
    ) -> Result<Present, DeployError> {
        let variables = variables(properties)?;
        let wanted = self.wanted_function(properties, &variables)?;
        let arn = self
            .place
            .arn("lambda", &format!("function:{}", wanted.name));
        Ok(Present {
            name: wanted.name.to_owned(),
            made: Made {
                reference: wanted.name.to_owned(),
                attributes: [("Arn".to_owned(), arn)].into(),
            },
            found: self.cloud.function_state(&wanted).await?,
        })
    }

    pub(super) async fn bring_function(
        &self,
        properties: &Properties<'_>,
    ) -> Result<(), DeployError> {
        let variables = variables(properties)?;
        let wanted = self.wanted_function(properties, &variables)?;
        Ok(self.cloud.bring_function(&wanted).await?)
    }

    fn wanted_function<'a>(
        &'a self,
        properties: &Properties<'a>,
        variables: &'a BTreeMap<String, String>,
    ) -> Result<WantedFunction<'a>, DeployError> {
        properties.known(&[
            "FunctionName",
            "Description",
            "Role",
            "Runtime",
            "Handler",
            "Architectures",
            "Code",
            "MemorySize",
            "Timeout",
            "Environment",
        ])?;
        // To delete a function its package is not needed.
        properties
            .text("Code")
            .map_err(|_| properties.wrong("Code", "a path on this machine"))?;
        let mut packages = self.packages.iter();
        let package = packages.find(|package| package.id == properties.id());
        Ok(WantedFunction {
            name: properties.text("FunctionName")?,
            description: properties.optional_text("Description")?.unwrap_or_default(),
            role_arn: properties.text("Role")?,
            package: package
                .map(|package| package.bytes.as_slice())
                .unwrap_or_default(),
            // What the API takes where nothing is said (AWS Lambda API reference, "CreateFunction").
            architecture: properties
                .texts("Architectures")?
                .first()
                .copied()
                .unwrap_or("x86_64"),
            runtime: properties.text("Runtime")?,
            handler: properties.text("Handler")?,
            seconds: properties.number("Timeout")?.unwrap_or(3),
            megabytes: properties.number("MemorySize")?.unwrap_or(128),
            variables,
            owner: self.name,
        })
    }
}

fn variables(properties: &Properties<'_>) -> Result<BTreeMap<String, String>, DeployError> {
    let Some(environment) = properties.get("Environment") else {
        return Ok(BTreeMap::new());
    };
    let variables = environment.get("Variables").and_then(Value::as_object);
    let variables = variables.into_iter().flatten().map(|(name, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (name.clone(), text)
    });
    Ok(variables.collect())
}
