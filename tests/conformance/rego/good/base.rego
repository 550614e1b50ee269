package stella.policy

verdict := {"action": "block", "rule": "exploited and in use"} if {
	input.finding.kev
	input.finding.reachability in {"runtime", "entrypoint"}
}

verdict := "warn" if {
	not input.finding.kev
	input.finding.epss > 0.2
}

image := "blocked" if count([f | some f in input.findings; f.status == "Warned"]) > 2
