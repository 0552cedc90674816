# factorial.py — a function of Python, run in a helper process.        SPDX-License-Identifier: LGPL-2.1-or-later
from strand import as_task


@as_task("process")
def factorial(n: int) -> int:
    result = 1
    for i in range(1, n + 1):
        result *= i
    return result


print(factorial(30).get_result(timeout=30))
