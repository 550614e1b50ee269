//! `stella-operator`: see [`stella_operator`].
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use stella_operator::backup;
use stella_operator::cli::{Cli, Command};
use stella_operator::serve::{Failure, database, place, serve};
use stella_service::{crypto, memory, supervise, telemetry, version::Version};

#[tokio::main]
async fn main() -> ExitCode {
    memory::use_small_pages();
    crypto::install();
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stella-operator: {}", supervise::chain(error.as_ref()));
            ExitCode::from(2)
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Serve(flags) => {
            telemetry::install(cli.verbose)?;
            serve(*flags).await?;
        }
        Command::Crd => {
            for (_, manifest) in stella_crds::manifests() {
                println!("---\n{}", stella_crds::yaml(&manifest).trim_end());
            }
        }
        Command::Openapi { yaml: true } => print!("{}", stella_operator::http::document_yaml()?),
        Command::Openapi { yaml: false } => print!("{}", stella_operator::http::document()?),
        Command::Migrate { data, database_url } => drop(database(&data, database_url.as_deref()).await?),
        Command::Backup { data, to, blobs } => {
            let lost = backup::back_up(&data, &to, place(blobs.as_deref())?.as_ref()).await?;
            lost.iter().for_each(|error| eprintln!("stella-operator: {error}"));
            if !lost.is_empty() {
                let lacks = "layers are read or sent again where it is put back";
                return Err(
                    format!("{} is there without {} lost blobs; their {lacks}", to.display(), lost.len()).into()
                );
            }
        }
        Command::Restore { from, data, blobs, take_blobs_from } => {
            backup::restore(&from, &data, place(blobs.as_deref())?.as_ref(), take_blobs_from).await?;
        }
        Command::Version => println!("{}", serde_json::to_string(&Version::current())?),
    }
    Ok(())
}
