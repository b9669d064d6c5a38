"""Who sits at this machine's command line."""

import os
import pwd


def operating_system_user() -> str:
    """The name of the user whose process this is."""
    # The variables that name a user can be set by anyone; the process's user id cannot.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"
