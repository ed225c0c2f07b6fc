"""Give this database its id once, so that a Redis can know which database it belongs to."""

from django.db import migrations


def name_this_database(apps, schema_editor):
    apps.get_model("conversations", "Installation").objects.create()


class Migration(migrations.Migration):
    dependencies = [("conversations", "0001_initial")]
    operations = [migrations.RunPython(name_this_database, migrations.RunPython.noop)]
