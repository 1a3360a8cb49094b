//! `unruffled config`: looks into the settings of `serve` without starting it.

use clap::ArgMatches;

use crate::args::{Args, Config, ConfigAction};
use crate::exit::Failure;
use crate::settings::{Layers, schema};
use crate::terminal;

pub(crate) fn run(config: &Config, args: &Args, matches: &ArgMatches) -> Result<(), Failure> {
    let page = match &config.action {
        ConfigAction::Check { file } => Layers::of_file(file).resolve()?.page(),
        ConfigAction::Show(serve) => {
            let (_, matches) = matches.subcommand().expect("`config` has an action");
            serve.layers(args, matches).resolve()?.page()
        }
        ConfigAction::Schema => schema(),
    };
    terminal::print(&page);
    Ok(())
}
