{#- Text for a message: a command of nyc-tlc for a month, with this build's target. -#}
{% macro nyc_tlc(command, dataset, month) %}
    {%- set known = ['local', 'postgres', 'bigquery'] -%}
    {{ return(
        "nyc-tlc " ~ command ~ " --dataset " ~ dataset ~ " --month " ~ month
        ~ (" --target " ~ target.name if target.name in known else "")
    ) }}
{% endmacro %}


{#- Text for a message: the command that runs a landed version's file again, from where it came. -#}
{% macro run_again(version, options) %}
    {#- Not from the setting's source, which may have another file. Releases have a folder for each dataset. -#}
    {%- set folder = version.source_url
        | replace("/" ~ version.file_name, "")
        | replace("/releases/download/" ~ version.dataset, "/releases/download") -%}
    {#- As Python's shlex.quote does it. -#}
    {%- set quoted = folder if modules.re.fullmatch('[A-Za-z0-9_@%+=:,./-]+', folder)
        else "'" ~ folder | replace("'", "'\"'\"'") ~ "'" -%}
    {{ return(
        nyc_tlc("run", version.dataset, version.file_month[:7]) ~ " --source " ~ quoted ~ " " ~ options
        ~ (" (put in for *** what the source has there: a password is not recorded)" if "***" in folder else "")
    ) }}
{% endmacro %}
