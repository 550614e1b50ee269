package stella.policy_test

import data.stella.policy

test_one_of_two if policy.verdict == "block" with input.finding.kev as true

test_one_of_two if policy.verdict == "warn" with input.finding.kev as true

test_two_values := true

test_two_values := false

default test_with_default := false

test_with_default if policy.verdict with input.finding.kev as true

test_between if true

test_ends_with_a_text if lower("BLOCK") == "block"

test_ends_with_a_text if lower("BLOCK") == "warn"

test_ends_with_a_text if lower("BLOCK") == `block`

# The rule before this one ends with a text.
test_after_a_text if true

test_one_of_two if {
	# A comment, "ä" and a brace: }
	not policy.verdict with input as {}
}

todo_test_twice if false

todo_test_twice if true

test_uses_the_first if test_one_of_two
