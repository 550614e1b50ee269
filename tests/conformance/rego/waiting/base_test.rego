package stella.policy_test

import data.stella.policy

test_passes if policy.verdict == "block" with input.finding.kev as true

todo_test_waits if policy.verdict == "warn" with input.finding.kev as true
