package stella.policy

test_in_the_same_package if helper_is_known with input.finding.kev as true
