package stella.policy

verdict := "block" if helper_is_known

helper_is_known if input.finding.kev
