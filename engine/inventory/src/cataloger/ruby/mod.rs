//! Ruby: installed gems and `Gemfile.lock`.

mod gemspec;
mod lock;

pub(super) use gemspec::INSTALLED;
pub(super) use lock::LOCK;
