{% macro check_request() %}
    {%- set months, datasets = requested_months(), requested_datasets() -%}
    {#- Hooks run for every command; only these change or test months. -#}
    {%- if execute and flags.WHICH not in ('build', 'run', 'test') -%}{{ return('') }}{%- endif -%}

    {%- set landed = landed_versions(datasets) -%}
    {%- if not execute -%}{{ return('') }}{%- endif -%}
    {%- for version in landed if version.suspect -%}
        {%- set month = version.file_month[:7] -%}
        {%- do log(
            version.dataset ~ " " ~ month ~ ": suspect: " ~ version.suspect
            ~ "; not merged until it is accepted: "
            ~ run_again(version, "--accept" if version.landed_rows else "--allow-empty --accept"), info=true
        ) -%}
    {%- endfor -%}
    {%- for month in months -%}
        {%- set found = landed | selectattr('file_month', 'equalto', month) | list -%}
        {%- if not found -%}
            {{ exceptions.raise_compiler_error(
                datasets | join(' or ') ~ " " ~ month[:7] ~ ": not landed; run: "
                ~ nyc_tlc("load", datasets[-1], month[:7])
            ) }}
        {%- endif -%}
        {%- for version in found if flags.WHICH != 'test' and not version.has_raw_rows -%}
            {%- do log(version.dataset ~ " " ~ month[:7] ~ ": merged already, and its raw rows are dropped: nothing to do", info=true) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set to_merge = landed
        | selectattr('has_raw_rows') | rejectattr('is_merged') | rejectattr('suspect') | list -%}
    {%- if not (months or to_merge or flags.FULL_REFRESH) and flags.WHICH != 'test' -%}
        {%- do log("every landed month of " ~ datasets | join(', ') ~ " is merged: nothing to do", info=true) -%}
    {%- endif -%}
{% endmacro %}
