package stella.policy

verdict := "block" if input.finding.kev
