package stella.policy_test

  test_indented if true

shop.test_within if true

shop.test_within if false

shop["test_in_brackets"] if true

shop["two words"].test_within if true

shop.todo_test_waits if false

test_function(x) if x

test_set contains "x" if true

test_with_more.behind if true
