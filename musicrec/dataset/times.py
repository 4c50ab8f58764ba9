"""Times as whole numbers: seconds since 2000-01-01 UTC."""

from datetime import UTC, datetime, timedelta

DAY = 24 * 60 * 60
# int32 holds the seconds from here for the years 1931 to 2068.
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
# Seconds from 1970-01-01, from which other libraries count, to there.
SINCE_1970 = int(EPOCH.timestamp())


def second(moment: datetime) -> int:
    """Seconds from 2000-01-01 UTC to `moment`, which is in UTC where it has no time zone.

    >>> second(datetime(2000, 1, 2))
    86400
    """
    return int((moment.replace(tzinfo=moment.tzinfo or UTC) - EPOCH).total_seconds())


def moment(second: int) -> datetime:
    """The datetime `second` seconds after 2000-01-01 UTC, in UTC and without a time zone.

    >>> str(moment(86400))
    '2000-01-02 00:00:00'
    """
    return (EPOCH + timedelta(seconds=int(second))).replace(tzinfo=None)
