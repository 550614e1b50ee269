package stella.policy_test

import data.stella.policy

exploited := {"kev": true, "reachability": "runtime"}

test_exploited_and_in_use if policy.verdict.action == "block" with input.finding as exploited

test_exploited_and_not_in_use if {
	not policy.verdict with input.finding as object.union(exploited, {"reachability": "unreachable"})
}

test_likely if {
	some epss in [0.21, 0.5, 1]
	policy.verdict == "warn" with input as {"finding": {"kev": false, "epss": epss}}
}

test_unlikely if {
	every epss in [0, 0.1, 0.2] {
		not policy.verdict with input as {"finding": {"kev": false, "epss": epss}}
	}
}

test_many_warnings if {
	warned := [{"status": "Warned"} | some _ in numbers.range(1, 3)]
	policy.image == "blocked" with input.findings as warned
}

test_few_warnings if not policy.image with input.findings as [{"status": "Warned"}]
