# -*- encoding: utf-8 -*-
# stub: actionpack 5.2.0 ruby lib

Gem::Specification.new do |s|
  s.name = "actionpack".freeze
  s.version = "5.2.0"

  s.required_rubygems_version = Gem::Requirement.new(">= 0".freeze) if s.respond_to? :required_rubygems_version=
  s.require_paths = ["lib".freeze]
  s.authors = ["Nobody".freeze]
  s.date = "2020-01-01"
  s.licenses = ["MIT".freeze]
  s.rubygems_version = "3.3.5".freeze
  s.summary = "of actionpack".freeze
end
