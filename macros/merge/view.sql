{% materialization view, adapter='postgres' -%}
    {#- dbt's own renames views to and fro, and drops the old one after the commit: two builds at once
        stumble over each other's. Here one waits for the other. -#}
    {%- set view = this.incorporate(type='view') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- call statement('lock') -%}
        select pg_advisory_xact_lock(hashtextextended('{{ view }}', 0))
    {%- endcall -%}
    {%- call statement('main') -%}
        {{ limit_lock_waits() }};
        drop view if exists {{ view }} cascade;
        {{ get_create_view_as_sql(view, sql) }}
    {%- endcall -%}
    {%- do apply_grants(view, config.get('grants'), should_revoke=false) -%}
    {%- do persist_docs(view, model) -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [view]}) }}
{%- endmaterialization %}
