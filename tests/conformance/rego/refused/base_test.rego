package stella.policy_test

test_a if true
