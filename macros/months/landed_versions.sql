{#- List of the newest landed version of each requested file month of datasets, as mappings with dataset, file_month
    (text), file_name, source_url, load_id, landed_rows, suspect (why it isn't merged until it is
    accepted, else none), names_repeated_rows (the loader has listed the rows that may share their
    key), has_raw_rows (its rows are still in the raw table) and is_merged (the trips table holds it).
    Empty while dbt parses. -#}
{% macro landed_versions(datasets) %}
    {%- set ledger, month_files = ref('file_ledger'), source('tlc_raw', 'month_files') -%}
    {#- dbt parses without a connection. -#}
    {%- if not execute or not datasets -%}{{ return([]) }}{%- endif -%}

    {%- if load_relation(month_files) is none -%}
        {{ exceptions.raise_compiler_error(
            "nothing is landed in " ~ month_files.schema
            ~ " yet; run, for example: " ~ nyc_tlc("load", datasets[-1], "2023-01")
        ) }}
    {%- endif -%}
    {%- set has_ledger = load_relation(ledger) is not none -%}
    {#- A table of an earlier version of the loader lacks columns until the next load. -#}
    {%- set columns = adapter.get_columns_in_relation(month_files) | map(attribute='name') | list -%}
    {%- set months = requested_months() -%}
    {%- set nothing = "cast(null as " ~ dbt.type_string() ~ ")" -%}
    {%- set query -%}
        with versions as (

            select
                dataset,
                file_month,
                file_name,
                source_url,
                load_id,
                sha256,
                landed_rows,
                raw_dropped_at,
                {{ 'suspect' if 'suspect' in columns else nothing }} as suspect,
                {{ 'shared_rows' if 'shared_rows' in columns else nothing }} as shared_rows,
                row_number() over (partition by dataset, file_month order by landed_at desc) as recency

            from {{ month_files }}
            where
                dataset in ('{{ datasets | join("', '") }}')
                {%- if months %}
                and file_month in (date '{{ months | join("', date '") }}')
                {%- endif %}

        )

        select
            versions.dataset,
            versions.file_month,
            versions.file_name,
            versions.source_url,
            versions.load_id,
            versions.landed_rows,
            versions.suspect,
            versions.shared_rows is not null as names_repeated_rows,
            versions.raw_dropped_at is null as has_raw_rows,
            {% if has_ledger %}ledger.sha256 is not null{% else %}false{% endif %} as is_merged

        from versions
        {% if has_ledger %}
        left join {{ ledger }} as ledger
            on versions.dataset = ledger.dataset
            and versions.file_month = ledger.file_month
            and versions.sha256 = ledger.sha256
            and ledger.is_current
        {% endif %}

        where versions.recency = 1

        order by versions.dataset, versions.file_month
    {%- endset -%}

    {%- set versions = [] -%}
    {%- for row in ask_once(query).rows -%}
        {#- The value is put into statements, and the user who loads may have fewer rights than the one who builds. -#}
        {%- if not modules.re.fullmatch('[0-9]+[.][0-9]+', row['load_id']) -%}
            {{ exceptions.raise_compiler_error(month_files ~ ": load_id is not one of dlt's; land the month again") }}
        {%- endif -%}
        {%- do versions.append(
            dict(row.dict(), file_month=row['file_month'] | string, landed_rows=row['landed_rows'] | int)
        ) -%}
    {%- endfor -%}
    {{ return(versions) }}
{% endmacro %}


{#- List of the versions that this build merges, as landed_versions returns them: those of the requested
    months; with --full-refresh all that ever landed; else all that aren't merged. Never a suspect
    one, and never one whose raw rows are gone: a full refresh that would need it is refused. -#}
{% macro versions_to_merge(dataset) %}
    {%- set months, chosen = requested_months(), [] -%}
    {%- set asked = [dataset] | select('in', requested_datasets()) | list -%}
    {%- for version in landed_versions(asked) if not version.suspect -%}
        {%- if months -%}
            {#- A month requested by name is built again even if it is merged. -#}
            {%- set is_chosen = version.has_raw_rows -%}
        {%- elif should_full_refresh() -%}
            {%- set is_chosen = true -%}
        {%- else -%}
            {%- set is_chosen = version.has_raw_rows and not version.is_merged -%}
        {%- endif -%}
        {%- if is_chosen -%}{%- do chosen.append(version) -%}{%- endif -%}
    {%- endfor -%}

    {%- set lost = chosen | rejectattr('has_raw_rows') | map(attribute='file_month') | list -%}
    {%- if lost -%}
        {{ exceptions.raise_compiler_error(
            "--full-refresh: the raw rows of " ~ dataset ~ " are dropped for " ~ lost | join(', ')
            ~ "; land these months again, with nyc-tlc run … --force --keep-raw, or leave --full-refresh out"
        ) }}
    {%- endif -%}
    {{ return(chosen) }}
{% endmacro %}


{#- A landing has a load_id of its own: that names the version. -#}
{% macro is_version_to_merge(dataset) %}
    {%- set versions = versions_to_merge(dataset) -%}
    {{ return("load_id in ('" ~ versions | join("', '", attribute='load_id') ~ "')" if versions else 'false') }}
{% endmacro %}
