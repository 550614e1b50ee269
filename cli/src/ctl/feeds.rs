//! `stellopsctl feed status`.

use stella_api::client::Client;

use super::CtlError;
use crate::exit::Outcome;
use crate::render::Grid;
use crate::terminal;

/// Lists the feeds of the server.
pub(super) async fn status(client: &Client, json: bool) -> Result<Outcome, CtlError> {
    let feeds = client.feeds().await?;
    if json {
        terminal::print_json(&feeds)?;
        return Ok(Outcome::Passed);
    }
    let mut grid = Grid::new(&["feed", "newest change", "advisories"]);
    for feed in &feeds {
        let date = feed.date.map_or_else(|| "unknown".to_owned(), |date| date.to_string());
        grid.row(vec![feed.name.clone(), date, feed.advisories.to_string()]);
    }
    terminal::print(grid.render().as_bytes())?;
    Ok(Outcome::Passed)
}
