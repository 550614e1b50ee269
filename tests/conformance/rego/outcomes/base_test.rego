package stella.policy_test

import data.stella.policy

kev := {"finding": {"kev": true}}

test_passes if policy.verdict == "block" with input as kev

test_fails if policy.verdict == "warn" with input as kev

test_is_undefined := policy.verdict

test_is_false := false

test_is_a_number := 1

test_is_a_text := "true"

test_is_an_object := {"passed": true}

test_is_null := null

test_is_true := true

test_divides_by_zero if 1 / 0 == 1

test_of_another_kind if to_number("x") == 1

test_else := false if {
	policy.verdict with input as {}
} else := true

test_calls_a_test if test_passes

todo_test_waits if false

todo_test_would_pass if true

not_a_test if true

xtest_neither if true

Test_capital if true
