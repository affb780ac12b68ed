# Functions that clients may call by name, while a plan runs if they ask for it ('function_execute').

import time as ttime


def function_sleep(time):
    """Sleep for `time` seconds."""
    print("function_sleep: started")
    print(f"function_sleep: waiting for {time} seconds")
    ttime.sleep(time)
    print("function_sleep: finished")
    return {"success": True, "time": time}


buffer = []


def push_buffer_element(element):
    """Put an element at the end of the buffer."""
    buffer.append(element)


def pop_buffer_element():
    """Take the oldest element out of the buffer; IndexError when there is none."""
    return buffer.pop(0)


def clear_buffer():
    """Empty the buffer."""
    buffer.clear()
