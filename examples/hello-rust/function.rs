//! The function.

pub fn load() -> Result<crate::Handler, String> {
    Ok(handler)
}

/// The name is between the quotes that follow `"name":`.
fn handler(event: &str, _deadline: &str) -> Result<String, String> {
    let rest = event.split_once("\"name\"").ok_or("no name in the event")?.1;
    let name = rest.split('"').nth(1).ok_or("the name is not a text")?;
    Ok(format!("{{\"message\": \"Hello, {name}, from Rust!\"}}"))
}
