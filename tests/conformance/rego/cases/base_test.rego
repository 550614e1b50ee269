package stella.policy_test

import data.stella.policy

test_levels[note] if {
	some note, case in {
		"exploited": {"kev": true, "verdict": "block"},
		"quiet": {"kev": true, "verdict": "warn"},
	}
	policy.verdict == case.verdict with input.finding.kev as case.kev
}

test_good_levels[note] if {
	some note, kev in {"exploited": true}
	policy.verdict == "block" with input.finding.kev as kev
}

test_bodies if {
	true
} {
	false
}
