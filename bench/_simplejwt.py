"""simplejwt's refresh, for comparison: rotation and denylist on, as its documentation says, on SQLite, in process."""

from __future__ import annotations

from collections.abc import Callable


def refresher(folder: str) -> Callable[[int], Callable[[], object]]:
    """Sets Django up in `folder` (once a process) and answers what makes one client's refresh call."""
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="a secret of a benchmark, thirty-two bytes or more",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/django.db"}},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "rest_framework",
            "rest_framework_simplejwt.token_blacklist",
        ],
        SIMPLE_JWT={"ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": True},
        USE_TZ=True,
    )
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from rest_framework_simplejwt.serializers import TokenRefreshSerializer
    from rest_framework_simplejwt.tokens import RefreshToken

    call_command("migrate", verbosity=0)

    def make(index: int) -> Callable[[], object]:
        user, _ = User.objects.get_or_create(username=f"user{index}")
        token = str(RefreshToken.for_user(user))

        def call() -> None:
            nonlocal token
            serializer = TokenRefreshSerializer(data={"refresh": token})
            serializer.is_valid(raise_exception=True)
            token = serializer.validated_data["refresh"]

        return call

    return make
